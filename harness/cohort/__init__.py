"""Many runs as one: which of a sweep's runs train together, on which path, and over which workers."""
