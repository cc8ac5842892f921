"""Pass metrics, visualisations and texts of a run to its loggers."""
