"""The config: settings, types, composition with Hydra, validation, error messages."""
