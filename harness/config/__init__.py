"""Compose a config with Hydra, validate it, and explain its mistakes."""
