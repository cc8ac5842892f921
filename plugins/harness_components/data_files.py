"""Data of the user's own, from a table or from arrays in a file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from torch import Generator

import harness
from harness.dataset import Dataset, from_arrays
from harness.errors import HarnessError, suggest
from harness.safe_files import check_plain
from harness.settings import Split
from harness.stored import LARGE
from harness_components.data_large import large_array, large_table, numbers, stored_shape
from harness_components.tables import ParquetTable, Table, TextTable, check_column, check_columns
from harness_components.targets import Told, told

Kind = Annotated[
    Literal["auto", "class", "real"],
    "what the target is; auto: texts, truths and few whole numbers are classes",
]
Held = Annotated[
    bool | Literal["auto"],
    "hold all samples in memory; false: in files under cache_dir, read a batch at a time; auto: by the file's size",
]


@harness.data
def csv(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "the file"],
    target: Annotated[str, "the column to predict"],
    kind: Kind = "auto",
    separator: Annotated[str, "one character between two values; \\t is a tab"] = ",",
    in_memory: Held = "auto",
) -> Dataset:
    """A table in a text file with a header line: one column is the target, the others, numbers, are the inputs.

    A file of more than a gigabyte is read once, a part at a time, and its samples are kept under `cache_dir`.
    """
    table = TextTable(_file(path), separator)
    if _large(table.file, in_memory):
        return large_table(table, target, kind, (table.separator,), cache_dir, split, generator)
    return _from_table(table, target, kind, split, generator)


@harness.data
def parquet(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "the file"],
    target: Annotated[str, "the column to predict"],
    kind: Kind = "auto",
    in_memory: Held = "auto",
) -> Dataset:
    """A table in a Parquet file: one column is the target, the others, numbers, are the inputs.

    A file of more than a gigabyte is read once, a part at a time, and its samples are kept under `cache_dir`.
    """
    table = ParquetTable(_file(path))
    if _large(table.file, in_memory):
        return large_table(table, target, kind, (), cache_dir, split, generator)
    return _from_table(table, target, kind, split, generator)


@harness.data
def npz(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "the file"],
    target: Annotated[str, "the array to predict, [N] or [N, D]"] = "y",
    inputs: Annotated[str, "the array of inputs, [N, ...]; images as [N, C, H, W]"] = "x",
    kind: Kind = "auto",
    in_memory: Held = "auto",
) -> Dataset:
    """Arrays in a file of numpy.savez: inputs and targets with the same first dimension.

    Of a file of more than a gigabyte, the inputs are read once, a part at a time, and are kept under `cache_dir`.
    """
    file = _file(path)
    if not zipfile.is_zipfile(file):
        raise HarnessError(f"{file} is not an npz file (numpy.savez writes one), or it is cut short")
    large = _large(file, in_memory)
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
        found = told(y, target, kind, file)
        if x is None:
            return large_array(file, inputs, y, (target, kind), found, cache_dir, split, generator)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError) as error:
        raise HarnessError(f"{file} is not a readable npz file: {' '.join(str(error).split())}") from error
    return _dataset(x, y, found, split, generator)


def _large(file: Path, in_memory: bool | str) -> bool:
    return not in_memory if isinstance(in_memory, bool) else file.stat().st_size > LARGE


def _file(path: str) -> Path:
    if not path:
        raise HarnessError("data.path must name a file, got ''")
    file = Path(path).expanduser()
    try:
        if not file.is_dir():
            check_plain(file)  # a pipe would be waited for, and a device has no end
        with file.open("rb"):
            return file
    except IsADirectoryError as error:
        raise HarnessError(f"{file} is a folder, expected a file") from error
    except FileNotFoundError as error:
        near = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise HarnessError(f"no file {file}.{suggest(file.name, near, listed=False)}") from error
    except OSError as error:
        raise HarnessError(f"cannot read {file}: {error.strerror}") from error


def _from_table(table: Table, target: str, kind: str, split: Split, generator: Generator) -> Dataset:
    (frame,) = table.frames()
    columns = list(frame.columns)
    if target in columns and frame.empty:
        raise HarnessError(f"{table.file} has no rows under its header")
    check_columns(table, columns, target)
    for place, name in enumerate(columns):
        check_column(table, frame[name], place, numbers=name != target or kind == "real")
    x, y = frame.drop(columns=[target]).to_numpy(dtype=np.float64), frame[target].to_numpy()
    return _dataset(x, y, told(y, target, kind, table.file), split, generator)


def _dataset(x: np.ndarray, y: np.ndarray, found: Told, split: Split, generator: Generator) -> Dataset:
    return from_arrays(x, found.encode(y), split, generator, target=found.kind, classes=found.classes)
