"""Random numbers that depend on the run and the step, and not on the company."""
