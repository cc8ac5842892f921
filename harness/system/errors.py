"""Errors that a user can fix, and suggestions for misspelled words."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness._compat.python import option_strings
from harness.system.signals import Terminated


class HarnessError(ValueError):
    """A mistake of the user. The command line prints it as one line and exits with 2.

    Attributes:
        begun: True if runs had started. Then the exit status is 1.
    """

    begun = False


class CannotWrite(HarnessError):
    """A file of a run that cannot be written: no fault of the run, and no way to record it.

    Attributes:
        errno: The system's number of the error, where it is known.
    """

    errno: int | None = None

    @classmethod
    def told(cls, path: object, error: OSError, begun: bool = False) -> CannotWrite:
        """Return the error for a path that could not be written."""
        made = cls(f"cannot write {beside(path)}: {error.strerror or error}{_whose(path, error)}")
        made.begun, made.errno = begun, error.errno
        return made


def beside(path: object) -> str:
    """Return a path as a person would type it: relative to the working folder where it lies below."""
    text = str(path)
    return text.removeprefix(os.getcwd() + os.sep) if os.path.isabs(text) else text


def _whose(path: object, error: OSError) -> str:
    """Return whose folder it is that may not be written, and what to do; nothing for errors of another kind."""
    if error.errno == errno.EMFILE:
        return ": raise the limit with ulimit -n"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    folder = Path(os.path.abspath(str(path)))
    while not folder.is_dir() or os.access(folder, os.W_OK | os.X_OK):
        if folder == folder.parent:
            return ""
        folder = folder.parent
    try:
        owner = folder.owner()
    except (KeyError, NotImplementedError):  # a user without a name, a system without owners
        owner = "another user"
    share = f"or let {owner} share it: chmod -R g+rwXs {folder}"
    return f". {folder} belongs to {owner}: write elsewhere with study=NAME or in another working folder, {share}"


def reraise_interrupt(error: BaseException) -> None:
    """Raise an error again if the user ends the command (Ctrl-C, SIGTERM); anything else is a component's own."""
    if type(error) in (KeyboardInterrupt, Terminated):
        raise error


def suggest(word: object, known: Iterable[object], listed: bool = True) -> str:
    """Suggest known words for a wrong one, as the end of an error message.

    Args:
        word: The wrong word.
        known: The known words.
        listed: True to list known words if none is similar.

    Returns:
        A sentence that starts with a space, or an empty text.

    >>> suggest("rely", ["relu", "tanh"])
    " Did you mean 'relu'?"
    >>> suggest("AdamW", ["adam", "adamw"])
    " Did you mean 'adamw'?"
    >>> suggest("zzz", ["relu", "tanh"])
    ' Known: relu, tanh.'
    """
    names = sorted({str(name) for name in known})
    near = [name for name in names if name.casefold() == str(word).casefold()]
    near = near or difflib.get_close_matches(str(word).casefold(), names, n=3, cutoff=0.6)
    near = near or difflib.get_close_matches(str(word), names, n=3, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(repr(name) for name in near)}?"
    if not names or not listed:
        return ""
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f" Known: {shown}."


def nearest_flag(message: str, parser: argparse.ArgumentParser) -> str:
    """A tail for what argparse says about a flag that it does not know."""
    _, found, words = message.partition("unrecognized arguments: ")
    return suggest(words.split()[0], option_strings(parser), listed=False) if found else ""


def one_line(error: BaseException) -> str:
    """Return the type and the message of an exception in one line.

    Args:
        error: The exception.

    >>> one_line(KeyError("a"))
    "KeyError: 'a'"
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(value: Any) -> str:
    """A value as it is written in a config.

    >>> shown(None), shown([True, 0.5]), shown("fast")
    ('null', '[true, 0.5]', "'fast'")
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(shown(v) for v in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}"
    return repr(value) if isinstance(value, str) else str(value)
