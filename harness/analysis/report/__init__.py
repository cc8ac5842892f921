"""Show records as tables and lines of text."""
