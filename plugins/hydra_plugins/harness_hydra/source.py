"""Where Hydra finds the config source and the search path of harness."""

from harness import HarnessSearchPath, HarnessSource

__all__ = ["HarnessSearchPath", "HarnessSource"]
