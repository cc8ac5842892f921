"""Errors, files, processes and signals, which all other packages use."""
