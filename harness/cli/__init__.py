"""The command line: `harness [overrides]`, `harness -m [overrides]`, `harness COMMAND ...`."""

from harness.cli.main import main

__all__ = ["main"]
