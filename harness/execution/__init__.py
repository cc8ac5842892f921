"""The life of a run, from its config to its record."""
