"""Memory: an estimate before a run starts, from a trace of allocations."""
