"""Arrays in a file of the user's."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from torch import Generator

import harness
from harness import Dataset, HarnessError, Split, disk, from_arrays, suggest
from harness_components.data.files.large import large_array, numbers, stored_shape
from harness_components.data.files.readable import readable
from harness_components.data.files.targets import column_of, rounded, rounding

Kind = Annotated[
    Literal["auto", "class", "labels", "real"],
    "kind of target; auto: texts, booleans and few different integers are classes, columns of 0 and 1 are labels",
]
Held = Annotated[
    bool | Literal["auto"],
    "hold all samples in memory; false: keep them under cache_dir and read batches; auto: by the file's size",
]


@harness.data(reads=("path",))
def npz(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "path of the file"],
    target: Annotated[str, "name of the array to predict, [N] or [N, D]"] = "y",
    inputs: Annotated[str, "name of the array of inputs, [N, ...]; images as [N, C, H, W]"] = "x",
    kind: Kind = "auto",
    in_memory: Held = "auto",
) -> Dataset:
    """Arrays in a file of numpy.savez: inputs and targets with the same first dimension.

    The inputs of a file of more than a gigabyte are read once, part by part, and kept under `cache_dir`.
    """
    file = readable(path)
    if not zipfile.is_zipfile(file):
        raise HarnessError(f"{file} is not an npz file (numpy.savez writes one), or it is cut short")
    large = is_large(file, in_memory)
    try:
        with np.load(file) as arrays:
            names = list(arrays.files)
            missing = [name for name in (inputs, target) if name not in names]
            if missing:
                raise HarnessError(f"{file} has no array {missing[0]!r}.{suggest(missing[0], names)}")
            y = numbers(arrays, target, file, texts=True)
            x = None if large else numbers(arrays, inputs, file)
        shape = stored_shape(file, inputs) if x is None else x.shape
        if len(shape) < 2 or y.ndim not in (1, 2) or shape[0] != len(y):
            raise HarnessError(
                f"{file}: {inputs!r} {shape} and {target!r} {y.shape} do not fit: expected [N, ...] and [N] or [N, D]"
            )
        target_column = column_of(y, target, kind, file)
        if x is None:
            return large_array(file, inputs, y, (target, kind), target_column, cache_dir, split, generator)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError) as error:
        raise HarnessError(f"{file} is not a readable npz file: {' '.join(str(error).split())}") from error
    _check_exact(x, inputs, file)
    dataset = from_arrays(
        x, target_column.encode(y), split, generator, target=target_column.kind, classes=target_column.classes
    )
    return replace(dataset, remarks=target_column.remarks)


def _check_exact(x: np.ndarray, name: str, file: Path) -> None:
    """Raise HarnessError for integers so large that float64 loses their differences."""
    if x.dtype.kind in "iu" and x.size and (error := rounding(x)):
        columns = x.reshape(len(x), -1).astype(object)
        if any(
            error > (high - low) / 1000
            for low, high in zip(columns.min(0), columns.max(0), strict=True)
            if high >= 2**53
        ):
            what = f"{file}: array {name!r} holds whole numbers up to {x.max()}"
            raise HarnessError(rounded(what, error, int(x.min())))


def is_large(file: Path, in_memory: bool | str) -> bool:
    """Return True if a file is to be read part by part."""
    return not in_memory if isinstance(in_memory, bool) else file.stat().st_size > disk.LARGE
