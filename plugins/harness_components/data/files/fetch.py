"""Downloads, checked against their digest: a file is complete under its name, or absent."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock

from harness import HarnessError

BLOCK = 1 << 18
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class Source:
    """Address of a file and the MD5 digest that its publisher gives, which detects accidents and not attacks."""

    url: str
    md5: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def fetch(source: Source, folder: Path) -> Path:
    """Return the file in `folder`, downloaded if it is missing. Concurrent callers download it once.

    Raises:
        HarnessError: If it cannot be downloaded, or differs from its digest.
    """
    path = folder / source.name
    if path.is_file():
        return path  # it was checked before it got this name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.is_file():
                _download(source, path)
    except OSError as error:
        if isinstance(error, urllib.error.URLError):
            raise HarnessError(
                f"cannot download {source.url}: {error.reason}. Offline, put the file at {path}"
            ) from error
        raise HarnessError(f"cannot fetch {source.url} to {path}: {error.strerror or error}") from error
    return path


def _download(source: Source, path: Path) -> None:
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(source.url, timeout=TIMEOUT) as answer:
            md5 = _copy(answer, file, source.name, int(answer.headers.get("Content-Length") or 0))
            file.flush()
            os.fsync(file.fileno())
        if md5 != source.md5:
            raise HarnessError(f"{source.url} has changed (MD5 {md5}, expected {source.md5}): the download was deleted")
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _copy(source: IO[bytes], file: IO[bytes], name: str, whole: int) -> str:
    """Copy a file with progress on standard error; return the MD5 digest of the content."""
    digest, done, printed = hashlib.md5(usedforsecurity=False), 0, -1
    while block := source.read(BLOCK):
        file.write(block)
        digest.update(block)
        done += len(block)
        share = 100 * done // whole if whole else 0
        if sys.stderr.isatty() and share > printed:
            printed = share
            print(f"\rdownloading {name}: {done / 1e6:.1f} MB, {share}%", end="", file=sys.stderr, flush=True)
    start = "\r" if printed >= 0 else ""
    print(f"{start}downloaded {name}: {done / 1e6:.1f} MB      ".rstrip(" "), file=sys.stderr, flush=True)
    return digest.hexdigest()


def unpacked(path: Path) -> bytes:
    """Return the content of a gzip file."""
    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError) as error:
        raise HarnessError(
            f"{path} is not a whole gzip file: {error}. Delete it, and it is downloaded again"
        ) from error
