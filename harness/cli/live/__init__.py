"""Show the progress of runs and sweeps."""
