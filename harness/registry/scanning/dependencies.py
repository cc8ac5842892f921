"""The files that a plugin's code depends on beyond its own package: what it opens while it is loaded, whether it
imports that by name or dynamically, in its own folder or elsewhere; and the environment variables that it reads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import site
import stat
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

LARGE = 1 << 26  # bytes: of a larger file, size and time are compared and not the content
_CODE = (".py", ".pyc", ".so", ".pyd")
_WITHOUT_FILES = ("/proc/", "/sys/", "/dev/")
_PYTHON = tuple(f.__code__.co_filename for f in (os.getenv, Mapping.get))  # they read the environment
_DEEP = 16  # callers that are looked through for one that is no library


@functools.cache
def installed() -> tuple[str, ...]:
    """The folders where packages are installed, and Python's own."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    folders |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}  # by a .pth file
    return tuple(str(Path(folder).resolve()) for folder in folders)


class FileAccessLog:
    """Records what is opened and read from the environment in this process from now on; there is no way to stop it."""

    def __init__(self) -> None:
        self._library = (
            *(f"{folder}{os.sep}" for folder in installed()),
            f"{Path(__file__).resolve().parents[2]}{os.sep}",
        )
        self._files: dict[str, None] = {}
        self._variables: dict[str, str | None] = {}
        sys.addaudithook(self._audit)
        self._watch_environment()

    def files(self) -> list[str]:
        """The files, without those of installed packages."""
        found = set()
        for path in list(self._files):
            resolved = os.path.realpath(_source(path))
            if not resolved.startswith(self._library) and os.path.isfile(resolved):
                found.add(resolved)
        return sorted(found)

    def variables(self) -> dict[str, str | None]:
        """The environment variables that no library has read, with their values."""
        return dict(self._variables)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, os.PathLike)):
            return
        path, mode = os.path.abspath(os.fspath(arguments[0])), arguments[1]
        if not isinstance(path, str) or (isinstance(mode, str) and not mode.startswith("r")):
            return
        if path.startswith((*_WITHOUT_FILES, *self._library)):
            return
        if path.endswith(_CODE) or self._own_caller(sys._getframe(1)):
            self._files[path] = None

    def _own_caller(self, frame: FrameType | None, through: tuple[str, ...] | None = None) -> bool:
        """Return whether the nearest caller that is not below one of the folders `through` is no library."""
        skipped = self._library if through is None else through
        for _ in range(_DEEP):
            if frame is None:
                return False
            name = frame.f_code.co_filename
            if not name.startswith(("<", *skipped)):
                return not name.startswith(self._library)
            frame = frame.f_back
        return False

    def _watch_environment(self) -> None:
        kind = type(os.environ)
        read = kind.__getitem__

        def getitem(environment: Any, key: str) -> str:
            # what a library reads while a plugin imports it is the library's own
            if environment is os.environ and self._own_caller(sys._getframe(1), _PYTHON):
                self._variables[key] = None
                self._variables[key] = read(environment, key)
            return read(environment, key)

        kind.__getitem__ = getitem  # type: ignore[method-assign]


def noted(files: list[str]) -> dict[str, list[Any]]:
    """{path: [size, times, digest]} of files, to be compared later; what has gone meanwhile is left out."""
    found = {}
    for path in files:
        if (stamp := _stamp(path)) is not None:
            found[path] = [*stamp, _digest(path, stamp)]
    return found


def unchanged(files: dict[str, list[Any]], variables: dict[str, str | None]) -> bool:
    """Whether files and environment variables are what they were when they were noted."""
    if any(os.environ.get(name) != value for name, value in variables.items()):
        return False
    for path, (*stamp, digest) in files.items():
        now = _stamp(path)
        if now is None or (list(now) != stamp and _digest(path, now) != digest):
            discard_stale_bytecode(path)
            return False
    return True


def discard_stale_bytecode(path: str) -> None:
    """Removes the bytecode of a source that has changed since: by its size and time alone Python may take it for
    current, and run the old code.
    """
    if not path.endswith(".py"):
        return
    with contextlib.suppress(OSError, NotImplementedError):
        bytecode = importlib.util.cache_from_source(path)
        if os.stat(bytecode).st_mtime_ns <= os.stat(path).st_ctime_ns:
            os.unlink(bytecode)


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Size and times of a regular file; its time of change cannot be set back, as that of its content can."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


def _digest(path: str, stamp: tuple[int, int, int]) -> str:
    if stamp[0] > LARGE:
        return f"{stamp[0]} {stamp[1]}"
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _source(path: str) -> str:
    """The source of bytecode, which is opened in its place."""
    if path.endswith(".pyc"):
        try:
            return importlib.util.source_from_cache(path)
        except ValueError:
            return path
    return path
