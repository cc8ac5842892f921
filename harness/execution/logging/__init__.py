"""What a run hands to its loggers beside numbers."""
