"""Figures of a comparison, each defined once, for files and for the HTML report."""
