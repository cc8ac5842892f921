"""Argument parsers of the commands, which report a mistake in one line with the nearest valid word."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from harness.registry.command import Command
from harness.system.errors import HarnessError, nearest_flag


class Parser(argparse.ArgumentParser):
    """An argument parser that raises its errors as HarnessError."""

    def error(self, message: str) -> Any:
        raise HarnessError(f"{self.prog}: {message}.{nearest_flag(message, self)}")


def parse(command: Command, words: Sequence[str]) -> argparse.Namespace:
    """Parse the words behind a command, with flags anywhere among them, unless it has subcommands, which argparse
    cannot mix. A command with a default for `unknown_words` gets there those that are not its own.

    Raises:
        HarnessError: If a word is wrong.
        SystemExit: After the help was printed.
    """
    parser = Parser(prog=f"harness {command.name}", description=command.help, allow_abbrev=False)
    command.arguments(parser)
    try:
        args, more = parser.parse_known_intermixed_args(words)
    except TypeError:
        args, more = parser.parse_known_args(words)
    if hasattr(args, "unknown_words"):
        args.unknown_words = more
    elif more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    return args
