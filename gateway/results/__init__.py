"""Results of conversions: kept for the message that comes again, shared by those who ask for the same at once."""
