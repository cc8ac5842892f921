"""Records as tables and lines."""
