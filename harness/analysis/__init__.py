"""Present the results of runs."""
