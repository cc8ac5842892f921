"""The built-in commands, a module for each: `harness show-data` is `show_data`. Its docstring is the help, `arguments`
adds the arguments to a parser, and `run` runs the command and returns the exit status.
"""

from __future__ import annotations

from importlib import import_module

from harness.registry.command import Command


def built_in(name: str) -> Command:
    """Return a built-in command; its module is imported when it is asked for."""
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    return Command(name, module.__doc__ or "", module.arguments, module.run)
