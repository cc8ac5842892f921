"""Sweeps: which runs train together, on which path, over which workers."""
