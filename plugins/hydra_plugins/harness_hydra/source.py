"""Config source and search path of harness, in the place where Hydra looks for plugins."""

from harness import HarnessSearchPath, HarnessSource

__all__ = ["HarnessSearchPath", "HarnessSource"]
