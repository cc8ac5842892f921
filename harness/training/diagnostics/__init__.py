"""Diagnostics while a run trains: when they are measured, their inputs, their values."""
