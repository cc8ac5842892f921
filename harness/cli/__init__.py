"""The command line: `harness [overrides]`, `harness -m [overrides]`, `harness VERB ...`."""

from harness.cli.main import main

__all__ = ["main"]
