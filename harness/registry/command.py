"""A command that a plugin adds to the command line, and its row in the catalogue."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness._compat.python import actions

NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")
RESERVED = frozenset(  # the built-in commands: a plugin cannot take their names
    {"board", "check", "help", "list", "new", "plugins", "report", "rm", "show", "show-data"}
)


class CommandError(TypeError):
    """Raised for a command that breaks the rules of `Command`."""


@dataclass(frozen=True)
class Command:
    """A command of a plugin, `harness NAME ...`, returned by the hook `harness_commands`.

    Attributes:
        name: The first word of the line: lower case letters, digits, `-` and `_`.
        help: What the command does. `harness --help` shows the first line, `harness NAME --help` shows all of it.
        arguments: Adds the command's arguments to a parser. It is also called when the plugin is scanned, so it imports
            nothing heavy. An argument with the metavar STUDY, RUN, KIND, KIND/NAME or OVERRIDE (also several, as in
            RUN|OVERRIDE) is completed with such names.
        function: Runs the command and returns the exit status: 0 done, 1 failed. It raises HarnessError for a mistake
            in what was typed; that is printed as one line, and the exit status is 2.
    """

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    function: Callable[[argparse.Namespace], int]


def describe(command: Any) -> dict[str, Any]:
    """Return a command as plain data for the catalogue.

    Raises:
        CommandError: If the command cannot be offered.
    """
    if not isinstance(command, Command):
        raise CommandError(f"expected a harness.Command, got {type(command).__name__}")
    if not isinstance(command.name, str) or not NAME.match(command.name):
        raise CommandError(
            f"command name {command.name!r} must start with a letter and hold lower case letters, digits, '-' and '_'"
        )
    lines = command.help.strip().splitlines() if isinstance(command.help, str) else []
    if not lines:
        raise CommandError(f"command {command.name!r} has no help: describe it in one line")
    for part in ("arguments", "function"):
        if not callable(getattr(command, part)):
            raise CommandError(f"command {command.name!r}: {part} must be a function, got {getattr(command, part)!r}")
    parser = argparse.ArgumentParser(prog=f"harness {command.name}", allow_abbrev=False)
    command.arguments(parser)
    parser.format_help()  # raises for a broken help text
    arguments = actions(parser)
    return {
        "name": command.name,
        "help": lines[0].strip(),
        "flags": [text for a in arguments for text in a.option_strings if text.startswith("--") and text != "--help"],
        "takes": [word for a in arguments if not a.option_strings for word in str(a.metavar or "").split("|") if word],
    }
