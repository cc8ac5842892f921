"""Distinguish a fault of the machine (a full disk, too many open files) from a failure of the run."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from harness.results.record import Record
from harness.system.errors import CannotWrite, HarnessError, short_path

MACHINE_FAULT = "MachineFault"  # the type of the error in the record of a run that it interrupted

_DISK_FULL = "the disk is full"
_READ_ONLY = "the file system is read-only"
_IO_ERROR = "the disk or the file server reports an I/O error"
_TOO_MANY_FILES = "too many open files: raise the limit with ulimit -n"
_SHARED_MEMORY = (
    "shared memory (/dev/shm) is full: enlarge it (docker run --shm-size=2g), or load data in fewer processes"
)

_REASONS = {
    getattr(errno, name): reason
    for name, reason in {
        "ENOSPC": _DISK_FULL,
        "EDQUOT": "the disk quota is used up",
        "EFBIG": "a file is larger than ulimit -f or its file system allows",
        "EMFILE": _TOO_MANY_FILES,
        "ENFILE": "too many open files on this machine",
        "EROFS": _READ_ONLY,
        "EIO": _IO_ERROR,
        "ESTALE": "the file server has lost a file (stale file handle)",
    }.items()
    if hasattr(errno, name)
}

# Libraries that write in C++, in other processes or through a file object only give the reason as text.
_WORDS = {
    r"too many open files|received 0 items of ancdata": _TOO_MANY_FILES,
    r"</?torch_\d|shared memory \(shm\)|out of shared memory": _SHARED_MEMORY,
    r"no space left on device|failed writing file|unexpected pos \d+ vs \d+|\d+ requested and \d+ written": _DISK_FULL,
    r"disk quota exceeded": "the disk quota is used up",
    r"read-only file system": _READ_ONLY,
    r"\[errno 5\] input/output error": _IO_ERROR,
}

_REMOTE = ("_RemoteTraceback", "RemoteTraceback")  # of loky, concurrent.futures and multiprocessing; hold only text


class MachineFault(HarnessError):
    """Raised if a fault of the machine ended a sweep, since its other runs would fail too."""

    begun = True


def machine_fault(error: BaseException | None) -> str | None:
    """Return the reason if the machine, and not the run, is to blame for an exception; None otherwise.

    Faults of the machine are the disk (full, over quota, read-only, I/O error), the limit of open files, a small
    `/dev/shm`, and exceptions caused by one of these. Lack of memory is not: a smaller model or batch would fit.

    Args:
        error: The exception.

    Returns:
        One line that names the reason, and the file if it is known.

    >>> machine_fault(OSError(errno.ENOSPC, "No space left on device", "weights.pt"))
    'the disk is full (weights.pt: No space left on device)'
    >>> machine_fault(OSError(errno.ENOENT, "No such file or directory", "table.csv"))
    >>> machine_fault(MemoryError())
    """
    for link in _chain(error):
        if (reason := _reason(link)) is not None:
            return f"{reason} ({_system_message(link)})"
    return None


def blames_machine(record: Record) -> bool:
    """Return True if a fault of the machine interrupted a run."""
    return record.status == "interrupted" and (record.error or {}).get("type") == MACHINE_FAULT


def machine_line(record: Record) -> str:
    """Return the reason that interrupted a run, and how to continue: the text of a MachineFault."""
    return f"{(record.error or {})['message']}. Fix this and run the same line again: it trains the missing runs"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _reason(error: BaseException) -> str | None:
    if isinstance(error, (OSError, CannotWrite)) and error.errno is not None:
        return _REASONS.get(error.errno)
    text = str(error)
    if type(error).__name__ in _REMOTE:
        text = text.rstrip(' "\n').rpartition("\n")[2]
        if not re.match(r"(OSError|RuntimeError): ", text):
            return None
    elif not isinstance(error, (OSError, RuntimeError)):
        return None
    return next((reason for words, reason in _WORDS.items() if re.search(words, text, re.IGNORECASE)), None)


def _system_message(error: BaseException) -> str:
    """Return the message of the system in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        message = error.strerror or os.strerror(error.errno)
        return f"{short_path(error.filename)}: {message}" if isinstance(error.filename, str) else message
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if _reason(RuntimeError(line)) is not None), lines[0])
