"""Samples in files, for data that is larger than memory: written once, and read one batch at a time.

No sample is kept in memory, only the row number of each; the operating system caches parts of the files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.data
from filelock import FileLock
from torch import Tensor

from harness.system import safe_files
from harness.system.errors import HarnessError

LARGE = 1 << 30  # bytes; larger data is kept in files unless the user wants it in memory
BLOCK_BYTES = 1 << 22  # approximate size of the samples that are read or written together
ABOUT = "about.json"
_FORMAT = 2  # version of these files, part of the names from `name_for`

Chunk = tuple[np.ndarray, np.ndarray]  # inputs [n, ...] and targets [n] or [n, D] of some samples


class StoredArray:
    """The rows of one array [N, ...] in a file."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self.path, self.dtype, self.shape = path, np.dtype(dtype), shape
        self.bytes = self.dtype.itemsize * math.prod(shape)  # size of a row
        self._file: int | None = None  # file descriptor, which each process opens itself

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def take(self, rows: Tensor) -> Tensor:
        """Some rows [n, ...], in any order."""
        result = np.empty((len(rows), *self.shape), self.dtype)
        view = result.reshape(-1).view(np.uint8).data
        for index, row in enumerate(rows.tolist()):
            self._read(view[index * self.bytes : (index + 1) * self.bytes], row * self.bytes)
        return torch.from_numpy(result)

    def block(self, first: int, count: int) -> Tensor:
        """Rows first .. first + count - 1."""
        result = np.empty((count, *self.shape), self.dtype)
        self._read(result.reshape(-1).view(np.uint8).data, first * self.bytes)
        return torch.from_numpy(result)

    def _read(self, view: memoryview, offset: int) -> None:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
        done = 0
        while done < len(view):
            read = os.preadv(self._file, [view[done:]], offset + done)
            if not read:
                raise HarnessError(f"{self.path} is cut short. Delete its folder to write it again")
            done += read


class DiskSamples(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """The samples of one split, in files.

    Args:
        folder: The folder that `write` filled.
        index: The rows of the samples, `[n]`.
    """

    def __init__(self, folder: Path, index: Tensor) -> None:
        self.folder, self.index = folder, index
        self.about = read_about(folder)
        self.x, self.y, self.keys = (
            StoredArray(folder / f"{name}.bin", self.about[name]["dtype"], tuple(self.about[name]["shape"]))
            for name in ("x", "y", "keys")
        )

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        x, y = self.take(torch.tensor([place]))
        return x[0], y[0]

    def take(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Read inputs and targets of several samples."""
        rows = self.index[places]
        return self.x.take(rows), self.y.take(rows)

    def blocks(self, rows: StoredArray) -> Iterator[Tensor]:
        """Yield the inputs (`self.x`), targets or keys of all samples in parts, in the order of the file."""
        order = self.index.sort().values
        count = max(1, BLOCK_BYTES // rows.bytes)
        place = 0
        while place < len(order):
            first = int(order[place])
            after = int(torch.searchsorted(order, first + count))
            last = int(order[after - 1])
            yield rows.block(first, last - first + 1)[order[place:after] - first]
            place = after


def read_about(folder: Path) -> dict[str, Any]:
    """Read the number, shapes and digest of the samples in a folder, and other facts that `write` noted."""
    about: dict[str, Any] = json.loads(safe_files.read(folder / ABOUT, 64 * safe_files.MB))
    return about


def stored_classes(folder: Path) -> Tensor:
    """Read the classes `[N]` of all samples in a folder."""
    return torch.from_numpy(np.fromfile(folder / "y.bin", dtype=np.int64))


def write(folder: Path, chunks: Iterable[Chunk], name: str, numbered: bool = False, **more: Any) -> str:
    """Writes samples into an empty folder, telling how many of `name` on standard error; a digest of their content.

    Targets that are `numbered` are any whole numbers: they are kept as places among those that there are, `values`.
    """
    hashes = {array: hashlib.sha256() for array in ("x", "y", "keys")}
    about: dict[str, Any] = {}
    count = 0
    with (
        (folder / "x.bin").open("wb") as inputs,
        (folder / "y.bin").open("wb") as targets,
        (folder / "keys.bin").open("wb") as keys,
    ):
        for x, y in chunks:
            for array, values, file in (("x", x, inputs), ("y", y, targets)):
                values = np.ascontiguousarray(values)
                about[array] = {"dtype": str(values.dtype), "shape": list(values.shape[1:])}
                content = values.reshape(-1).view(np.uint8).data
                hashes[array].update(content)
                file.write(content)
            flat = np.ascontiguousarray(x).reshape(len(x), -1)
            keys.write(digests := b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in flat))
            hashes["keys"].update(digests)
            count += len(x)
            _print_progress(f"\rreading {name}: {count:,} samples", end="")
    about["keys"] = {"dtype": "int64", "shape": []}
    described = repr((count, about["x"], about["y"], hashes["x"].hexdigest(), hashes["y"].hexdigest()))
    digest = hashlib.sha256((described + "numbered" * numbered).encode()).hexdigest()
    if numbered:
        values, indices = np.unique(np.fromfile(folder / "y.bin", dtype=np.int64), return_inverse=True)
        indices.astype(np.int64).tofile(folder / "y.bin")
        hashes["y"] = hashlib.sha256(indices.astype(np.int64).tobytes())
        more["values"] = values.tolist()
    files = {f"{array}.bin": [*_stamp(folder / f"{array}.bin"), h.hexdigest()] for array, h in hashes.items()}
    (folder / ABOUT).write_text(json.dumps(about | {"count": count, "digest": digest, "files": files} | more))
    _print_progress("\r\033[K", end="")
    return digest


def is_whole(folder: Path) -> bool:
    """Return True if stored samples are unchanged. A file is read only if its size or times have changed."""
    if not (folder / ABOUT).exists():
        return not list(folder.glob("*.bin"))
    try:
        for name, (*stamp, digest) in read_about(folder)["files"].items():
            if list(_stamp(folder / name)) != stamp:
                with (folder / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        return False
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _print_progress(text: str, end: str) -> None:
    if sys.stderr.isatty():
        print(text, end=end, file=sys.stderr, flush=True)


def keep(root: Path, name: str, make: Callable[[Path], str]) -> Path:
    """A folder under `root` that `make` fills: whole under its name or not there at all.

    It is named after the digest that `make` returns, or has the name that is given, and is then not made twice; of
    many processes that ask at once, one makes it.
    """
    if name and (root / name).is_dir() and is_whole(root / name):
        return root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name or 'content'}.lock"):
            if name and (root / name).is_dir() and is_whole(root / name):
                return root / name
            temporary = Path(tempfile.mkdtemp(prefix=".", dir=root))
            try:
                digest = make(temporary)
                folder = root / (name or digest[:32])
                if folder.is_dir() and not is_whole(folder):
                    warnings.warn(f"the samples in {folder} were damaged, and are written again", stacklevel=2)
                    shutil.rmtree(folder)
                if not folder.is_dir():
                    temporary.rename(folder)
                return folder
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise HarnessError(f"cannot keep data in {root}: {error.strerror or error}") from error


def name_for(file: Path, *settings: object) -> str:
    """A name for what is read from a file: a function of its content and of how it is read."""
    with file.open("rb") as opened:
        content = hashlib.file_digest(opened, "sha256").hexdigest()
    return hashlib.sha256(repr((_FORMAT, content, *settings)).encode()).hexdigest()[:32]
