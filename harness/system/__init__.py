"""Errors, files, processes and signals: the ground that every other package stands on."""
