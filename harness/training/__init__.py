"""Training: one run as a Lightning module, or many as one program."""
