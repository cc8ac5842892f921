"""Records as something to read."""
