"""Open, write and remove files of a study, which may come from a stranger.

What a user names may be a link (`outputs` on another disk). What lies inside a study is data: a link in it is never
followed for writing or deleting, and only plain files of a bounded size are read.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.system.errors import HarnessError
from harness.system.platforms import NO_LINK, NO_WAIT, PLAIN, TO_SYNC, can_sync

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30
TOGETHER = 16  # files; so many are synced by one call for their whole file system
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFLNK: "a link",
}  # fmt: skip


Content = bytes | Callable[[Any], None]


class UnsafeFile(OSError):
    """A file that is not opened: a link, a pipe, a device, or one that is too large. `strerror` is the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def read(path: str | Path, limit: int) -> bytes:
    """Read a plain file of at most `limit` bytes.

    A link to a plain file is followed: tools that keep data in one place put links into a study.

    Raises:
        UnsafeFile: If it is not a plain file, or if it is larger.
        OSError: If it cannot be read.
    """
    _refuse_special(path, os.stat(path))  # before opening, since opening a device may have an effect
    handle = os.open(path, os.O_RDONLY | NO_WAIT | PLAIN)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _refuse_special(path, status)
        content = file.read(status.st_size + 1) if status.st_size <= limit else None
        if content is not None and len(content) > status.st_size:  # the file grows
            content += file.read(limit + 1 - len(content))
    if content is None or len(content) > limit:
        raise UnsafeFile(path, f"it is larger than {_size(limit)}")
    return content


def check_plain(path: str | Path, limit: int | None = None) -> None:
    """Check that a path is a plain file, or a link to one, before a library opens it.

    Args:
        path: The file.
        limit: The largest size in bytes, or None.

    Raises:
        UnsafeFile: If it is not a plain file, or larger than the limit.
        OSError: If it cannot be read.
    """
    status = os.stat(path)
    _refuse_special(path, status)
    if limit is not None and status.st_size > limit:
        raise UnsafeFile(path, f"it is larger than {_size(limit)}")


def append(path: str | Path, content: bytes) -> None:
    """Append to a plain file in one write; create it if it does not exist.

    Raises:
        UnsafeFile: If it is a link, has another name too (a hard link), or is not a plain file.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK | NO_WAIT | PLAIN, 0o644)
    except OSError:
        _refuse_link(path)
        raise
    try:
        status = os.fstat(handle)
        _refuse_special(path, status)
        if status.st_nlink > 1:
            raise UnsafeFile(path, "the file has another name too, and would change there")
        os.write(handle, content)
    finally:
        os.close(handle)


def create(path: str | Path, content: bytes) -> None:
    """Create a new file.

    Raises:
        FileExistsError: If the name exists.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | PLAIN, 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def remove(path: str | Path) -> None:
    """Remove a file, a link (not its target) or a folder with its content, if it exists."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)  # never follows a link, even one created meanwhile
        else:
            os.unlink(path)


def make_folder(path: str | Path) -> bool:
    """Create a folder with its parents. Return False if it exists.

    Raises:
        UnsafeFile: If the path is a link.
    """
    try:
        os.mkdir(path)
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        _refuse_link(path)
        if not os.path.isdir(path):
            raise
        return False
    return True


def is_link(path: str | Path) -> bool:
    """Return True for a symbolic link, also one without a target."""
    return os.path.islink(path)


def refuse_links(outer: Path, inner: str | Path) -> None:
    """Refuse a path below a folder in which a part is a link.

    Args:
        outer: The folder, which may be a link itself.
        inner: Path relative to it.

    Raises:
        HarnessError: If one of the folders from below `outer` to `outer / inner` is a link.
    """
    path = outer
    for part in Path(inner).parts:
        path = path / part
        if is_link(path):
            raise HarnessError(f"{path} is a link; harness does not write through links below {outer}: remove it")


def refuse_special(folder: Path) -> None:
    """Refuse a folder that holds a pipe, socket or device, since a program that reads all files would wait for it.

    Raises:
        HarnessError: If there is one.
    """
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_file() and not entry.is_dir() and os.path.exists(entry.path):
                    raise HarnessError(f"{entry.path} is not a plain file: remove it")


def _refuse_link(path: str | Path) -> None:
    if is_link(path):
        raise UnsafeFile(path, f"{os.path.basename(path)} is a link, and links in a study are not followed: remove it")


def _refuse_special(path: str | Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
        raise UnsafeFile(path, f"{os.path.basename(path)} is {kind}, expected a plain file")


def _size(limit: int) -> str:
    """Format a number of bytes.

    >>> _size(64 * MB)
    '64 MB'
    """
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "kB")):
        if limit >= unit:
            return f"{limit // unit} {name}"
    return f"{limit} bytes"


def write_file(path: Path, content: Content, durable: bool = True) -> None:
    """Write a file atomically, by renaming a temporary file.

    Args:
        path: The file.
        content: Its content, or a function that writes to the open file.
        durable: True to sync the file before the rename and its folder afterwards.
    """
    write_files({path: content}, durable)


def write_files(contents: Mapping[Path, Content], durable: bool = True, also: Sequence[Path] = ()) -> None:
    """Write files of one file system atomically, by renaming temporary files. If one fails, none is renamed.

    Args:
        contents: The content of each file, or a function that writes to the open file.
        durable: True to sync all contents before the first rename, and the folders after the last one.
        also: Other files to sync before the first rename.
    """
    beside: dict[str, Path] = {}
    together = len(contents) + len(also) >= TOGETHER
    try:
        for path, content in contents.items():
            temporary = f"{path.parent}/.{path.name}.{secrets.token_hex(4)}.tmp"
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | PLAIN, 0o644)
            beside[temporary] = path
            with os.fdopen(handle, "wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
                file.flush()
                if durable and not together:
                    os.fsync(handle)
        if durable:
            sync([*also, *beside] if together else also)
        for temporary, path in list(beside.items()):
            os.replace(temporary, path)
            del beside[temporary]
    except BaseException:
        for temporary in beside:
            Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync({path.parent: None for path in contents})


def sync(paths: Collection[str | Path]) -> None:
    """Wait until files, or the names in folders, are on the disk.

    Many are synced by one call for their whole file system, which must be the same for all of them.

    Args:
        paths: The files and folders.
    """
    if len(paths) >= TOGETHER and _sync_file_system(next(iter(paths))):
        return
    for path in filter(can_sync, paths):
        handle = os.open(path, TO_SYNC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sync_file_system(path: str | Path) -> bool:
    """Sync the file system of a path. Return False if this system cannot, or if it reports an error."""
    syncfs = _syncfs()
    if syncfs is None:
        return False
    handle = os.open(path, TO_SYNC)
    try:
        return bool(syncfs(handle) == 0)
    finally:
        os.close(handle)


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    """Return syncfs(2) of the C library, which Python does not offer; None where there is none."""
    if sys.platform != "linux":
        return None
    import ctypes

    function: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "syncfs", None)
    return function
