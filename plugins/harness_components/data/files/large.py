"""Arrays larger than memory: read once, part by part, and kept as rows that training reads."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from torch import Generator

from harness import Dataset, HarnessError, Split, disk, divide, from_stored, precision
from harness_components.data.files import targets
from harness_components.data.files.targets import TargetColumn

# Modules that decide how a file is read: a change in one of them invalidates kept samples
_READERS = [Path(str(module.__file__)) for module in (disk, targets)] + [Path(__file__)]


def numbers(arrays: Any, name: str, file: Path, texts: bool = False) -> np.ndarray:
    """Return an array of an npz file, checked to hold finite numbers, or with `texts` also class names.

    Raises:
        HarnessError: If it holds anything else.
    """
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
    """Return the shape of an array of an npz file without reading its values."""
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
    settings: tuple[Any, ...],
    target: TargetColumn,
    cache_dir: Path,
    split: Split,
    generator: Generator,
) -> Dataset:
    """Build the data set of an npz file without holding its inputs in memory; `settings` are those of the target."""

    def chunks() -> Iterator[disk.Chunk]:
        with zipfile.ZipFile(file) as archive, archive.open(f"{inputs}.npy") as opened:
            shape, by_column, dtype = _header(opened)
            if dtype.hasobject:
                raise HarnessError(f"{file}: array {inputs!r} holds Python objects, expected numbers")
            if by_column:
                raise HarnessError(
                    f"{file}: array {inputs!r} is stored in Fortran order and cannot be read by rows: save it after "
                    "np.ascontiguousarray, or set data.in_memory=true"
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
                yield x.astype(held), target.encode(y[first : first + count])

    def make(folder: Path) -> str:
        return disk.write(folder, chunks(), file.name, kind=target.kind, classes=target.classes, remarks=target.remarks)

    return _cached(file, (inputs, *settings), make, cache_dir, split, generator)


def _cached(
    file: Path, settings: tuple[Any, ...], make: Any, cache_dir: Path, split: Split, generator: Generator
) -> Dataset:
    import pandas as pd

    readers = [path.read_bytes() for path in _READERS]
    name = disk.name_for(file, settings, readers, np.__version__, pd.__version__)
    folder = disk.keep(Path(cache_dir) / "files", name, make)
    about = disk.read_about(folder)
    parts = divide(about["count"], split, generator, disk.stored_classes(folder) if about["kind"] == "class" else None)
    dataset = from_stored(folder, parts, target=about["kind"], classes=about["classes"])
    return replace(dataset, remarks=tuple(about["remarks"]))
