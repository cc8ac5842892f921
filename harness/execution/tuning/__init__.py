"""Tuning of the contestants of a sweep, each with the same budget, before the sweep compares them."""
