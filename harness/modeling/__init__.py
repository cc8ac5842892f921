"""Base classes for plugin authors, and the objects that one run is built from."""
