"""Base classes for plugin authors, and the builder of the objects of a run."""
