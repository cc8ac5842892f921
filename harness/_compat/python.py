"""Python's own: seen on Python 3.11."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from typing import Any

signal_handler: Callable[[int], Any] = importlib.import_module("_signal").getsignal
"""Return the handler of a signal, as `signal.getsignal` does, without the Enum that takes 10 times as long.

Uses `_signal.getsignal`, seen on Python 3.11. Without it, use `signal.getsignal`: each look at the shared state of a
process, dozens of times a run, takes longer.
"""


def environment() -> dict[Any, Any]:
    """Return a copy of the environment variables as the operating system encodes them.

    Uses `os.environ._data`, seen on Python 3.11. Without it, the variables are decoded, which takes 200 times as long.
    """
    return dict(getattr(os.environ, "_data", os.environ))


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments and flags of a parser.

    Uses `ArgumentParser._actions`, seen on Python 3.11. Without it, a mistyped flag is refused without the nearest
    right one, and the arguments of a plugin's command are not completed.
    """
    return list(parser._actions)


def option_strings(parser: argparse.ArgumentParser) -> list[str]:
    """Return all flags that a parser knows, such as `--help`."""
    return [flag for action in actions(parser) for flag in action.option_strings]
