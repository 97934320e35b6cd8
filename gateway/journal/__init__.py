"""What was handed on while the client may not have heard so, so that its retry is no second copy."""
