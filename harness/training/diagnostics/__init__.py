"""Diagnostics while a run trains: when they are due, their inputs, their results."""
