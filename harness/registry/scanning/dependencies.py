"""Record the files and environment variables that a plugin reads while it is loaded.

A cached scan is only valid as long as they are unchanged. Files count wherever they are, and whether the plugin imports
them by name or dynamically; the files of its own package and of installed packages are covered by other means.
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

LARGE = 1 << 26  # bytes; larger files are compared by size and time instead of content
CODE = (".py", ".pyc", ".so", ".pyd")
_WITHOUT_FILES = ("/proc/", "/sys/", "/dev/")
_PYTHON = tuple(f.__code__.co_filename for f in (os.getenv, Mapping.get))  # read the environment for their callers
_MAX_FRAMES = 16  # callers to look through for one outside of the libraries


@functools.cache
def installed() -> tuple[str, ...]:
    """Return the folders of installed packages and of the standard library."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    folders |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}  # by a .pth file
    return tuple(str(Path(folder).resolve()) for folder in folders)


class FileAccessLog:
    """Record the files and environment variables that this process reads from now on.

    An audit hook cannot be removed, so recording never stops.
    """

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
        """Return the files read so far, without those of installed packages."""
        paths = set()
        for path in list(self._files):
            resolved = os.path.realpath(_source(path))
            if not resolved.startswith(self._library) and os.path.isfile(resolved):
                paths.add(resolved)
        return sorted(paths)

    def variables(self) -> dict[str, str | None]:
        """Return the environment variables that were read by code outside of the libraries, with their values."""
        return dict(self._variables)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, os.PathLike)):
            return
        path, mode = os.path.abspath(os.fspath(arguments[0])), arguments[1]
        if not isinstance(path, str) or (isinstance(mode, str) and not mode.startswith("r")):
            return
        if path.startswith((*_WITHOUT_FILES, *self._library)):
            return
        if path.endswith(CODE) or self._called_by_plugin(sys._getframe(1)):
            self._files[path] = None

    def _called_by_plugin(self, frame: FrameType | None, skipped: tuple[str, ...] | None = None) -> bool:
        """Return True if the nearest caller outside of the skipped folders does not belong to a library."""
        skipped = self._library if skipped is None else skipped
        for _ in range(_MAX_FRAMES):
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
            # do not count a variable that a library reads while a plugin imports it
            if environment is os.environ and self._called_by_plugin(sys._getframe(1), _PYTHON):
                self._variables[key] = None
                self._variables[key] = read(environment, key)
            return read(environment, key)

        kind.__getitem__ = getitem  # type: ignore[method-assign]


def file_states(files: list[str]) -> dict[str, list[Any]]:
    """Return {path: [size, times, digest]} of files, for `unchanged`; missing files are left out."""
    states = {}
    for path in files:
        if (stamp := _stamp(path)) is not None:
            states[path] = [*stamp, _digest(path, stamp)]
    return states


def unchanged(files: dict[str, list[Any]], variables: dict[str, str | None]) -> bool:
    """Return True if files and environment variables are as they were recorded.

    Args:
        files: States from `file_states`.
        variables: Values by name; None for a variable that was not set.
    """
    if any(os.environ.get(name) != value for name, value in variables.items()):
        return False
    for path, (*stamp, digest) in files.items():
        now = _stamp(path)
        if now is None or (list(now) != stamp and _digest(path, now) != digest):
            discard_stale_bytecode(path)
            return False
    return True


def discard_stale_bytecode(path: str) -> None:
    """Remove the bytecode of a source that changed after it was compiled.

    Python compares size and time only, so it might run the old code.
    """
    if not path.endswith(".py"):
        return
    with contextlib.suppress(OSError, NotImplementedError):
        bytecode = importlib.util.cache_from_source(path)
        if os.stat(bytecode).st_mtime_ns <= os.stat(path).st_ctime_ns:
            os.unlink(bytecode)


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return size, mtime and ctime of a regular file, or None. Unlike mtime, ctime cannot be set back."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if stat.S_ISREG(status.st_mode) else None


def _digest(path: str, stamp: tuple[int, int, int]) -> str:
    if stamp[0] > LARGE:
        return f"{stamp[0]} {stamp[1]}"
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _source(path: str) -> str:
    """Return the source of a bytecode file, and any other path unchanged."""
    if path.endswith(".pyc"):
        try:
            return importlib.util.source_from_cache(path)
        except ValueError:
            return path
    return path
