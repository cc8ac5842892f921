"""Data sets: splits, files on disk, adapters, checks."""
