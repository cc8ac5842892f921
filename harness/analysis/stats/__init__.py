"""Statistics of paired comparisons, as pure functions on arrays."""
