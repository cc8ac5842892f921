"""Load, split, transform and check data sets."""
