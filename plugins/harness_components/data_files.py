"""Data of the user's own, from a table or from arrays in a file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from torch import Generator

import harness
from harness.dataset import Dataset, from_arrays
from harness.errors import HarnessError, suggest
from harness.settings import Split

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
    separator: str = ",",
) -> Dataset:
    """A table in a text file with a header line: one column is the target, the others, numbers, are the inputs."""
    file = _file(path)
    try:
        table = pd.read_csv(file, sep=separator, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise HarnessError(f"{file} is empty, expected a header line and rows") from None
    except (pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
        raise HarnessError(f"{file}: {' '.join(str(error).split())}") from error
    return _from_table(table, file, target, kind, split, generator)


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
        table = pd.read_parquet(file)
    except Exception as error:  # pyarrow has many, none of them public
        raise HarnessError(f"{file} is not a readable Parquet file: {' '.join(str(error).split())}") from error
    return _from_table(table, file, target, kind, split, generator)


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
    try:
        arrays = np.load(file)
        names = list(arrays.files)
        missing = [name for name in (inputs, target) if name not in names]
        if missing:
            raise HarnessError(f"{file} has no array {missing[0]!r}.{suggest(missing[0], names)}")
        x, y = arrays[inputs], arrays[target]
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, AttributeError) as error:
        if isinstance(error, HarnessError):
            raise
        raise HarnessError(f"{file} is not a readable npz file: {' '.join(str(error).split())}") from error
    if x.dtype.kind not in "fiub":
        raise HarnessError(f"{file}: array {inputs!r} holds {x.dtype}, expected numbers")
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y):
        raise HarnessError(
            f"{file}: {inputs!r} {x.shape} and {target!r} {y.shape} do not fit: expected [N, ...] and [N] or [N, D]"
        )
    return _assemble(x, y, target, kind, file, split, generator)


def _file(path: str) -> Path:
    file = Path(path).expanduser()
    if file.is_dir():
        raise HarnessError(f"{file} is a folder, expected a file")
    if not file.exists():
        near = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise HarnessError(f"no file {file}.{suggest(file.name, near)}")
    return file


def _from_table(table: pd.DataFrame, file: Path, target: str, kind: str, split: Split, generator: Generator) -> Dataset:
    if target not in table.columns:
        raise HarnessError(f"{file} has no column {target!r}.{suggest(target, list(table.columns))}")
    if table.empty:
        raise HarnessError(f"{file} has no rows under its header")
    if len(table.columns) < 2:
        raise HarnessError(f"{file} has no column beside {target!r}: nothing to learn from")
    for name in table.columns:
        _check_column(table[name], file, is_input=name != target)
    x = table.drop(columns=[target]).to_numpy(dtype=np.float64)
    return _assemble(x, table[target].to_numpy(), target, kind, file, split, generator)


def _check_column(column: pd.Series, file: Path, is_input: bool) -> None:
    """Raises HarnessError with the line (the header is line 1) of the first value that cannot be used."""

    def refuse(bad: pd.Series, expected: str) -> None:
        row = int(np.flatnonzero(bad.to_numpy())[0])
        got = column.iloc[row]
        raise HarnessError(f"{file}, line {row + 2}, column {column.name!r}: expected {expected}, got {_shown(got)}")

    missing = column.isna()
    if missing.any():
        refuse(missing, "a value")
    if is_input and not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        refuse(pd.to_numeric(column, errors="coerce").isna(), "a number")
        raise HarnessError(f"{file}, column {column.name!r}: expected numbers, got {column.dtype}")
    if pd.api.types.is_float_dtype(column) and bool(np.isinf(column).any()):
        refuse(pd.Series(np.isinf(column)), "a finite number")


def _shown(value: Any) -> str:
    return "nothing" if value is None or (isinstance(value, float) and np.isnan(value)) else repr(value)


def _assemble(
    x: np.ndarray, y: np.ndarray, target: str, kind: str, file: Path, split: Split, generator: Generator
) -> Dataset:
    numeric = y.dtype.kind in "fiu"
    if kind == "auto":
        whole = y.dtype.kind in "iu" and y.ndim == 1
        kind = "class" if not numeric or (whole and len(np.unique(y)) <= FEW) else "real"
    if kind == "real":
        if not numeric:
            raise HarnessError(f"{file}: target {target!r} holds {y.dtype}, and kind=real expects numbers")
        return from_arrays(x, y, split, generator, target="real")
    if y.ndim != 1:
        raise HarnessError(f"{file}: target {target!r} has shape {y.shape}, and classes are one a sample")
    classes, indices = np.unique(y.astype(str) if not numeric else y, return_inverse=True)
    return from_arrays(x, indices, split, generator, target="class", classes=list(classes))
