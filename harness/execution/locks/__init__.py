"""Locks that let launchers share a study."""
