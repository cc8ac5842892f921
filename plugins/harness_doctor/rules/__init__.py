"""Rules that read the evidence, by subject."""
