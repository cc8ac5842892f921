"""Write and read the owner files of runs, and find out whether the process of an owner lives."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from harness.system import safe_files
from harness.system.errors import HarnessError
from harness.system.process_id import here, started
from harness.system.typed_json import Keys, Longest, checker, refuse_depth

FOLDER = ".owners"
STALE_S = 60.0  # without a heartbeat for so long, a process that cannot be inspected counts as dead
LARGEST = 64 * safe_files.KB  # size limit of an owner file

_Text = Annotated[str, Longest(1_000)]
_NOTE = Keys(dict.fromkeys(("epoch", "epochs", "cohort"), int))
_check = checker(
    Annotated[
        dict[str, Any],
        Keys(
            dict.fromkeys(("host", "machine", "boot", "namespace", "nonce"), _Text)
            | {"pid": int, "started": float | None, "since": float, "note": Annotated[dict[str, Any], _NOTE]}
        ),
    ]
)


def folder_of(study: Path) -> Path:
    """Return the folder of a study's owner files. Raises HarnessError if it is a link."""
    folder = Path(study) / FOLDER
    lock = folder / ".lock"
    if folder.is_symlink():
        raise HarnessError(f"{folder} is a link, and links in a study are not followed: remove it")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = os.lstat(lock)  # taking the lock opens it for writing
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise HarnessError(f"{lock} is a link or no plain file, and is not written: remove it")
    return folder


class LockText:
    """A text with many names: it is written once, and each name is a link to it.

    So a file appears whole or not at all, a thousand of them cost one write, and one touch is a heartbeat of all.
    """

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.text = json.dumps(content, default=str).encode()
        self.path = folder / f".{secrets.token_hex(8)}.new"
        self.beside = self.path.with_suffix(".over")

    def __enter__(self) -> LockText:
        _create(self.path, self.text)
        return self

    def __exit__(self, *_: object) -> None:
        for path in (self.path, self.beside):
            path.unlink(missing_ok=True)

    def put(self, path: Path) -> bool:
        """Add a name. Return False if there is a file of that name."""
        try:
            os.link(self.path, path)
        except FileExistsError:
            return False
        except OSError:  # the file system has no links, or not so many
            try:
                _create(path, self.text)
            except FileExistsError:
                return False
        return True

    def replace(self, path: Path) -> bool:
        """Add a name, replacing a file of that name."""
        self.beside.unlink(missing_ok=True)
        self.put(self.beside)
        os.replace(self.beside, path)
        return True


class LivenessCheck:
    """Find out which processes live, as of one moment: each process and clock is looked at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now: float | None = None
        self._started: dict[int, float | None] = {}
        self._inodes: dict[int, dict[str, Any] | None] = {}

    def living(self, path: Path) -> dict[str, Any] | None:
        """Return the content of an owner file if its process lives; {} for a recent file that cannot be read."""
        found = _read(path)
        if found is None:
            return None
        owner, touched = found
        return owner if self._lives(owner, touched) else None

    def living_by_inode(self, path: Path, inode: int) -> dict[str, Any] | None:
        """Return the same for many files, reading each once."""
        if inode not in self._inodes:
            self._inodes[inode] = self.living(path)
        return self._inodes[inode]

    def _lives(self, owner: dict[str, Any], touched: float) -> bool:
        me = here()
        if any(owner.get(key, me[key]) != me[key] for key in ("host", "machine")):
            return self._heard_of(touched)
        if not {"boot", "pid", "started"} <= owner.keys():
            # Torn: it is being written (without links), or the power failed, which was before the last boot.
            return self._heard_of(touched)
        if owner["boot"] != me["boot"]:
            return False
        if owner.get("namespace", me["namespace"]) != me["namespace"]:
            return self._heard_of(touched)  # of another container, whose processes are not visible
        pid = owner["pid"]
        if pid not in self._started:
            self._started[pid] = started(pid)
        since = self._started[pid]
        if since is not None and math.isnan(since):
            return self._heard_of(touched)
        return since == owner["started"]  # age does not matter: a stopped process lives

    def forgotten(self) -> list[Path]:
        """Return temporary files of owners that were left long ago."""
        kinds = (".new", ".over", ".clock")
        found = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.suffix in kinds and not self._heard_of(path.lstat().st_mtime):
                    found.append(path)
        return found

    def _heard_of(self, touched: float) -> bool:
        if self._now is None:
            self._now = _clock(self.folder)
        return abs(self._now - touched) <= STALE_S  # a time in the future does not count


def glance(folder: Path) -> Iterator[tuple[Path, int]]:
    """Return the owner files of a folder, with their inodes."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.endswith(".json") and not entry.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                yield Path(entry.path), entry.stat(follow_symlinks=False).st_ino


def _read(path: Path) -> tuple[dict[str, Any], float] | None:
    """Return the content of a file ({} if it cannot be read) and its time; None if there is no such file."""
    try:
        text = safe_files.read(path, LARGEST)  # opening it makes a network file system fetch the latest content
        touched = os.stat(path).st_mtime
    except FileNotFoundError:
        return None
    except OSError:
        try:
            return {}, os.lstat(path).st_mtime
        except OSError:
            return None
    try:
        refuse_depth(text)
        owner = json.loads(text)
    except (ValueError, RecursionError):
        return {}, touched
    return ({} if _check(owner) else owner), touched


def _create(path: Path, text: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            path.unlink()
            raise


def _clock(folder: Path) -> float:
    """Return the time of the file system's clock: the clocks of hosts differ."""
    path = folder / f".{secrets.token_hex(8)}.clock"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            os.utime(handle)
            return os.fstat(handle).st_mtime
        finally:
            os.close(handle)
            path.unlink()
    except OSError:  # the folder may be read, not written
        return time.time()
