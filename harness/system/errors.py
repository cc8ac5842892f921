"""Errors for users, and the suggestions in their messages."""

from __future__ import annotations

import argparse
import difflib
import errno
import logging
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
    """Raised if a file of a run cannot be written, which is not a failure of the run and cannot be recorded.

    Attributes:
        errno: The system's number of the error, if it is known.
    """

    errno: int | None = None

    @classmethod
    def from_os_error(cls, path: object, error: OSError, begun: bool = False) -> CannotWrite:
        """Return the error for a path.

        Args:
            path: The file or folder that cannot be written.
            error: The error of the system.
            begun: True if runs have begun.
        """
        failure = cls(f"cannot write {short_path(path)}: {error.strerror or error}{_advice(path, error)}")
        failure.begun, failure.errno = begun, error.errno
        return failure


def short_path(path: object) -> str:
    """Return a path relative to the working folder if it is below that, else unchanged."""
    text = str(path)
    return text.removeprefix(os.getcwd() + os.sep) if os.path.isabs(text) else text


def _advice(path: object, error: OSError) -> str:
    """Return the remedy for missing permissions (with the owner of the folder) or too many files; else ""."""
    if error.errno == errno.EMFILE:
        return ": raise the limit with ulimit -n"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    folder = Path(os.path.abspath(str(path)))
    while not folder.is_dir() or os.access(folder, os.W_OK | os.X_OK):
        if folder == folder.parent:
            return ""
        folder = folder.parent
    owner = owner_of(folder)
    share = f"or let {owner} share it: chmod -R g+rwXs {folder}, and umask 002 before a run"
    return f". {folder} belongs to {owner}: write elsewhere with study=NAME or in another working folder, {share}"


def owner_of(path: Path) -> str:
    """Return the name of the user that a file belongs to, or "another user"."""
    try:
        return path.owner()
    except (OSError, KeyError, NotImplementedError):  # a user without a name, a system without owners
        return "another user"


def reraise_interrupt(error: BaseException) -> None:
    """Raise an error again if it comes from the user ending the command (Ctrl-C, SIGTERM); log any other.

    Every `except` of all exceptions that does not report its exception calls this function.
    """
    if type(error) in (KeyboardInterrupt, Terminated):
        raise error
    logging.getLogger("harness").debug("caught %s", one_line(error), exc_info=error)


_MEMORY = ("can't allocate memory", "cannot allocate memory", "failed to allocate", "unable to allocate")


def says_out_of_memory(text: str) -> bool:
    """Return True if an error's words say that memory was short, on a device or on the host.

    >>> says_out_of_memory("CUDA out of memory. Tried to allocate 2 GiB"), says_out_of_memory("KeyError: 'memory'")
    (True, False)
    """
    return any(word in text.lower() for word in ("out of memory", "outofmemory", "memoryerror", *_MEMORY))


def suggest(word: object, known: Iterable[object], listed: bool = True, path: str = "") -> str:
    """Suggest known words for a wrong one, as the end of an error message.

    Args:
        word: The wrong word.
        known: The known words.
        listed: True to list known words if none is similar.
        path: What a similar word is shown with, such as "optimizer.".

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
        return f" Did you mean {' or '.join(repr(path + name) for name in near)}?"
    if not names or not listed:
        return ""
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f" Known: {shown}."


def nearest_flag(message: str, parser: argparse.ArgumentParser) -> str:
    """Return the nearest flags for argparse's message about an unknown one, or the empty string."""
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
    """Return a value as it is written in a config.

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
