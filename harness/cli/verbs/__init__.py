"""The built-in commands: each module of this package is one, `show_data` is `harness show-data`, and has a COMMAND."""

from __future__ import annotations

from importlib import import_module

from harness.registry.command import Command


def built_in(name: str) -> Command:
    """Return a built-in command; its module is imported when it is asked for."""
    command: Command = import_module(f"{__name__}.{name.replace('-', '_')}").COMMAND
    return command
