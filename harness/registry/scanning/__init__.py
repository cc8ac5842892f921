"""Scan plugins in child processes, and cache the results."""
