"""Data of the user's own, from a table or from arrays in a file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from torch import Generator

import harness
from harness.dataset import Dataset, from_arrays
from harness.errors import HarnessError, suggest
from harness.settings import Split
from harness_components.tables import Table, TextTable

Kind = Annotated[
    Literal["auto", "class", "real"],
    "what the target is; auto: texts, truths and few whole numbers are classes",
]
FEW = 20  # whole numbers of up to so many different values are taken for classes


@harness.data
def csv(
    split: Split,
    generator: Generator,
    *,
    path: Annotated[str, "the file"],
    target: Annotated[str, "the column to predict"],
    kind: Kind = "auto",
    separator: Annotated[str, "one character between two values; \\t is a tab"] = ",",
) -> Dataset:
    """A table in a text file with a header line: one column is the target, the others, numbers, are the inputs."""
    file = _file(path)
    return _from_table(TextTable(file, separator), target, kind, split, generator)


@harness.data
def parquet(
    split: Split,
    generator: Generator,
    *,
    path: Annotated[str, "the file"],
    target: Annotated[str, "the column to predict"],
    kind: Kind = "auto",
) -> Dataset:
    """A table in a Parquet file: one column is the target, the others, numbers, are the inputs."""
    file = _file(path)
    try:
        frame = pd.read_parquet(file)
    except Exception as error:  # pyarrow has many, none of them public
        reason = " ".join(str(error).split()).partition(f"'{file}': ")
        raise HarnessError(f"{file} is not a readable Parquet file: {reason[2] or reason[0]}") from error
    return _from_table(Table(file, frame), target, kind, split, generator)


@harness.data
def npz(
    split: Split,
    generator: Generator,
    *,
    path: Annotated[str, "the file"],
    target: Annotated[str, "the array to predict, [N] or [N, D]"] = "y",
    inputs: Annotated[str, "the array of inputs, [N, ...]; images as [N, C, H, W]"] = "x",
    kind: Kind = "auto",
) -> Dataset:
    """Arrays in a file of numpy.savez: inputs and targets with the same first dimension."""
    file = _file(path)
    if not zipfile.is_zipfile(file):
        raise HarnessError(f"{file} is not an npz file (numpy.savez writes one), or it is cut short")
    try:
        with np.load(file) as arrays:
            names = list(arrays.files)
            missing = [name for name in (inputs, target) if name not in names]
            if missing:
                raise HarnessError(f"{file} has no array {missing[0]!r}.{suggest(missing[0], names)}")
            x, y = (_numbers(arrays, name, file, texts=name == target) for name in (inputs, target))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError) as error:
        raise HarnessError(f"{file} is not a readable npz file: {' '.join(str(error).split())}") from error
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y):
        raise HarnessError(
            f"{file}: {inputs!r} {x.shape} and {target!r} {y.shape} do not fit: expected [N, ...] and [N] or [N, D]"
        )
    return _assemble(x, y, target, kind, file, split, generator)


def _numbers(arrays: Any, name: str, file: Path, texts: bool) -> np.ndarray:
    """An array of an npz file, holding finite numbers (or texts, which are classes)."""
    try:
        array = np.asarray(arrays[name])
    except ValueError as error:  # objects would have to be unpickled, and that runs code
        raise HarnessError(f"{file}: array {name!r} holds Python objects, expected numbers") from error
    if array.dtype.kind not in ("fiubUS" if texts else "fiub"):
        raise HarnessError(f"{file}: array {name!r} holds {array.dtype}, expected numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        raise HarnessError(f"{file}: array {name!r} holds {array[tuple(place)]} at {place}, expected finite numbers")
    return array


def _file(path: str) -> Path:
    if not path:
        raise HarnessError("data.path must name a file, got ''")
    file = Path(path).expanduser()
    try:
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
    frame, file = table.frame, table.file
    if target not in frame.columns:
        raise HarnessError(f"{file} has no column {target!r}.{suggest(target, list(frame.columns))}")
    if frame.empty:
        raise HarnessError(f"{file} has no rows under its header")
    if len(frame.columns) < 2:
        raise HarnessError(f"{file} has no column beside {target!r}: nothing to learn from")
    for name in frame.columns:
        _check_column(table, name, numbers=name != target or kind == "real")
    x = frame.drop(columns=[target]).to_numpy(dtype=np.float64)
    return _assemble(x, frame[target].to_numpy(), target, kind, file, split, generator)


def _check_column(table: Table, name: str, numbers: bool) -> None:
    """Raises HarnessError with the place of the first value that cannot be used."""
    column = table.frame[name]

    def refuse(bad: Any, expected: str) -> None:
        row = int(np.flatnonzero(np.asarray(bad))[0])
        raise HarnessError(f"{table.place(row)}, column {name!r}: expected {expected}, got {table.cell(row, name)}")

    if column.isna().any():
        refuse(column.isna(), "a finite number" if numbers else "a value")
    if numbers and not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        bad = pd.to_numeric(column, errors="coerce").isna()
        if bad.any():
            refuse(bad, "a number")
        raise HarnessError(f"{table.file}, column {name!r}: expected numbers, got {column.dtype}")
    if pd.api.types.is_float_dtype(column) and bool(np.isinf(column).any()):
        refuse(np.isinf(column), "a finite number")


def _assemble(
    x: np.ndarray, y: np.ndarray, target: str, kind: str, file: Path, split: Split, generator: Generator
) -> Dataset:
    numeric = y.dtype.kind in "fiu"
    if len(y) == 0:
        raise HarnessError(f"{file} holds no samples")
    if kind == "auto":
        whole = y.dtype.kind in "iu" and y.ndim == 1
        kind = "class" if not numeric or (whole and len(np.unique(y)) <= FEW) else "real"
    if kind == "real":
        if not numeric:
            raise HarnessError(f"{file}: target {target!r} holds {y.dtype}, and data.kind=real expects numbers")
        return from_arrays(x, y, split, generator, target="real")
    if y.ndim != 1:
        raise HarnessError(f"{file}: target {target!r} has shape {y.shape}, and classes are one a sample")
    classes, indices = np.unique(y.astype(str) if not numeric else y, return_inverse=True)
    if len(classes) < 2:
        raise HarnessError(f"{file}: target {target!r} holds one class only, {classes[0]!s}: nothing to tell apart")
    return from_arrays(x, indices, split, generator, target="class", classes=list(classes))
