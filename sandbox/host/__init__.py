"""Trusted: starts sandboxes, feeds them, reads their answers, makes the safe file. Opens no document."""
