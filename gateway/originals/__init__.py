"""The quarantine: original messages kept for release, under the id that a notice names."""
