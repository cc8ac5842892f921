"""A command that a plugin adds to the command line, and its row in the catalogue."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness._compat.python import actions

NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")
CHOICES = 200  # of an argument, that completion offers: a range may have millions
_BUILT_IN = Path(__file__).resolve().parents[1] / "cli" / "verbs"  # a module for each


class CommandError(TypeError):
    """Raised for a command that breaks the rules of `Command`."""


@dataclass(frozen=True)
class Command:
    """A command of a plugin, `harness NAME ...`, returned by the hook `harness_commands`.

    Attributes:
        name: The first word of the line: lower case letters, digits, `-` and `_`.
        help: What the command does. `harness --help` shows the first line, `harness NAME --help` shows all of it.
        arguments: Adds the command's arguments to a parser. It is also called when the plugin is scanned, so it imports
            nothing heavy. An argument or a flag with the metavar STUDY, RUN, METRIC (of the study before it), KIND,
            KIND/NAME, PLUGIN or OVERRIDE (also several, as in RUN|OVERRIDE) is completed with such names, and one with
            `choices` with these.
        function: Runs the command and returns the exit status: 0 done, 1 failed. It raises HarnessError for a mistake
            in what was typed; that is printed as one line, and the exit status is 2.
    """

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    function: Callable[[argparse.Namespace], int]


@functools.cache
def built_in_names() -> tuple[str, ...]:
    """Return the names of the built-in commands, without an import of the command line, which lies above."""
    return tuple(sorted(path.stem.replace("_", "-") for path in _BUILT_IN.glob("[a-z]*.py")))


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
    parser.format_help()  # what is wrong with a help text is raised here
    return {"name": command.name, "help": lines[0].strip()} | words_of(parser)


def words_of(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return the flags of a parser, with what their values are, or None for a flag without one, and its arguments."""
    found = actions(parser)
    return {
        "flags": {text: None if a.nargs == 0 else _argument(a) for a in found for text in a.option_strings},
        "arguments": [_argument(a) for a in found if not a.option_strings],
    }


def _argument(action: argparse.Action) -> dict[str, Any]:
    metavars = action.metavar.split("|") if isinstance(action.metavar, str) else []
    choices = [str(one) for one in islice(action.choices or (), CHOICES)]
    return {"takes": metavars, "choices": choices, "many": action.nargs in ("*", "+")}
