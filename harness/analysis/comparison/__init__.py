"""Compare the arms of a study: pair their runs, estimate differences, and decide which are settled."""
