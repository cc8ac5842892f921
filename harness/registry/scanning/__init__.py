"""The scan of plugins, each in a process of its own, and its cache."""
