"""Argument parsers of the commands, which report a mistake in one line with the nearest valid word."""

from __future__ import annotations

import argparse
from typing import Any

from harness.system.errors import HarnessError, nearest_flag


class Parser(argparse.ArgumentParser):
    """An argument parser that raises its errors as HarnessError."""

    def error(self, message: str) -> Any:
        raise HarnessError(f"{self.prog}: {message}.{nearest_flag(message, self)}")


def verb_parser(verb: str, about: str) -> Parser:
    """Return the parser of a command.

    Args:
        verb: Name of the command.
        about: Its description, for --help.
    """
    return Parser(prog=f"harness {verb}", description=about, allow_abbrev=False)
