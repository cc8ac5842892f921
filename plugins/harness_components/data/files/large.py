"""Arrays in files that are larger than memory: read once, a part at a time, and kept as rows that training reads."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib import format as npy
from torch import Generator

from harness import Dataset, HarnessError, Split, disk, divide, from_stored, precision
from harness_components.data.files import targets
from harness_components.data.files.targets import TargetColumn

# What decides how a file is read: kept samples are made again where any of it changes.
_READERS = [Path(str(module.__file__)) for module in (disk, targets)] + [Path(__file__)]


def numbers(arrays: Any, name: str, file: Path, texts: bool = False) -> np.ndarray:
    """An array of an npz file, holding finite numbers (or texts, which are classes)."""
    try:
        array = np.asarray(arrays[name])
    except ValueError as error:  # objects would have to be unpickled, and that runs code
        raise HarnessError(f"{file}: array {name!r} holds Python objects, expected numbers") from error
    _check_numbers(array, name, file, texts)
    return array


def _check_numbers(array: np.ndarray, name: str, file: Path, texts: bool = False, first: int = 0) -> None:
    if array.dtype.kind not in ("fiubUS" if texts else "fiub"):
        raise HarnessError(f"{file}: array {name!r} holds {array.dtype}, expected numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        value = array[tuple(place)]
        place[0] += first
        raise HarnessError(f"{file}: array {name!r} holds {value} at {place}, expected finite numbers")


def stored_shape(file: Path, name: str) -> tuple[int, ...]:
    """The shape of an array of an npz file, which is not read."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as opened:
        return _header(opened)[0]


def _header(opened: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(opened)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_column, dtype = read(opened)
    return shape, by_column, dtype


def large_array(
    file: Path,
    inputs: str,
    y: np.ndarray,
    how: tuple[Any, ...],
    found: TargetColumn,
    cache_dir: Path,
    split: Split,
    generator: Generator,
) -> Dataset:
    """The data set of an npz file, of whose inputs some at a time are in memory; `how` the targets are read."""

    def chunks() -> Iterator[disk.Chunk]:
        with zipfile.ZipFile(file) as archive, archive.open(f"{inputs}.npy") as opened:
            shape, by_column, dtype = _header(opened)
            if dtype.hasobject:
                raise HarnessError(f"{file}: array {inputs!r} holds Python objects, expected numbers")
            if by_column:
                raise HarnessError(
                    f"{file}: array {inputs!r} lies there by columns, and is read by rows: save it after "
                    "np.ascontiguousarray, or say data.in_memory=true"
                )
            width = dtype.itemsize * int(np.prod(shape[1:]))
            rows = max(1, disk.BLOCK_BYTES // max(1, width))
            held = precision.holding(dtype)
            for first in range(0, shape[0], rows):
                count = min(rows, shape[0] - first)
                content = opened.read(count * width)
                if len(content) < count * width:
                    raise EOFError(f"array {inputs!r} is cut short")
                x = np.frombuffer(content, dtype).reshape(count, *shape[1:])
                _check_numbers(x, inputs, file, first=first)
                yield x.astype(held), found.encode(y[first : first + count])

    def make(folder: Path) -> str:
        return disk.write(folder, chunks(), file.name, kind=found.kind, classes=found.classes, remarks=found.remarks)

    return _kept(file, (inputs, *how), make, cache_dir, split, generator)


def _kept(file: Path, how: tuple[Any, ...], make: Any, cache_dir: Path, split: Split, generator: Generator) -> Dataset:
    readers = [path.read_bytes() for path in _READERS]
    name = disk.name_for(file, how, readers, np.__version__, pd.__version__)
    folder = disk.keep(Path(cache_dir) / "files", name, make)
    about = disk.read_about(folder)
    parts = divide(about["count"], split, generator, disk.stored_classes(folder) if about["kind"] == "class" else None)
    made = from_stored(folder, parts, target=about["kind"], classes=about["classes"])
    return replace(made, remarks=tuple(about["remarks"]))
