"""The kind of a file's target, classes, labels or real numbers, inferred from its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness import HarnessError

FEW = 20  # integers of at most this many different values are taken for classes


@dataclass(frozen=True)
class TargetColumn:
    """A kind of target, and for classes their values in order."""

    kind: Literal["class", "labels", "real"]
    values: tuple[Any, ...] = ()  # indices for labels
    remarks: tuple[str, ...] = ()  # for the user, on how the values were read

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return [str(value) for value in self.values]

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return targets as a data set holds them: class indices, int64 [n], or numbers [n, D]."""
        if self.kind != "class":
            return y.astype(np.float64 if self.kind == "real" else np.float32).reshape(len(y), -1)
        import pandas as pd  # most runs read no file

        return pd.Index(list(self.values)).get_indexer(_plain(_column(y))).astype(np.int64)


def _column(y: np.ndarray) -> np.ndarray:
    """Return [n, 1] as [n]."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _plain(y: np.ndarray) -> np.ndarray:
    """Return numbers unchanged, and everything else as texts without surrounding spaces."""
    return y if y.dtype.kind in "fiu" else np.char.strip(y.astype(str))


def _whole(y: np.ndarray) -> bool:
    """Return True if all numbers are integers."""
    return y.dtype.kind in "iu" or bool((np.abs(y) < 2**53).all() and (y == np.round(y)).all())


def rounding(y: np.ndarray) -> int:
    """Return the largest change that float64 makes to integers.

    >>> rounding(np.array([2**53, 2**53 + 1])), rounding(np.array([1, 2]))
    (1, 0)
    """
    wide = np.unique(y[(y >= 2**53) | (y <= -(2**53))])
    return max((abs(int(value) - int(float(value))) for value in wide.tolist()), default=0)


def rounded(what: str, error: int, low: int) -> str:
    """Return the message on integers that float64 rounds."""
    return f"{what}, which float64 rounds by up to {error}: subtract {low} from all of them"


def infer_target(chunks: Iterable[np.ndarray], target: str, kind: str, file: Path) -> TargetColumn | None:
    """Infer the kind of a target from its values, read part by part.

    Returns:
        The target, or None if some parts are numbers and others are not: such a column of a table must be read as text.

    Raises:
        HarnessError: If the values do not fit `kind`, or there are none.
    """
    dtypes: set[str] = set()  # kinds of dtype: b, i, f, or t for texts
    values: set[Any] = set()
    shape: tuple[int, ...] = ()
    whole = binary = True  # all are integers; all are 0 or 1
    stripped = error = 0
    low, high = float("inf"), float("-inf")
    for part in chunks:
        y = _column(part)
        if y.dtype.kind in "iu" and len(y):
            low, high = min(low, int(y.min())), max(high, int(y.max()))
            error = max(error, rounding(y))
        dtypes.add({"u": "i"}.get(y.dtype.kind, y.dtype.kind) if y.dtype.kind in "bfiu" else "t")
        shape = shape or y.shape
        if not len(y) or kind == "real":
            continue
        if y.ndim != 1:
            binary = binary and y.dtype.kind in "bfiu" and bool(((y == 0) | (y == 1)).all())
            continue
        whole = whole and y.dtype.kind in "fiu" and _whole(y)
        if kind == "class" or not dtypes <= {"i", "f"} or (whole and len(values) <= FEW):
            plain = _plain(y)
            stripped += int((plain != y.astype(str)).sum()) if y.dtype.kind not in "bfiu" else 0
            values |= set(np.unique(plain).tolist())
    if not shape or not shape[0]:
        raise HarnessError(f"{file} holds no samples")
    if len(dtypes) > 1 and not dtypes <= {"i", "f"}:
        return None
    numeric = dtypes <= {"i", "f"}
    columns = len(shape) == 2
    if kind == "auto":
        few = whole and not columns and len(values) <= FEW
        kind = "labels" if columns and binary else "class" if not numeric or few else "real"
    if kind == "labels":
        if not columns or not binary:
            got = "other values" if columns else f"shape {shape}"
            raise HarnessError(f"{file}: labels are columns of 0 and 1, [N, L], and target {target!r} holds {got}")
        return TargetColumn("labels", tuple(range(shape[1])))
    if kind == "real":
        if not numeric:
            raise HarnessError(f"{file}: target {target!r} holds no numbers, and data.kind=real expects them")
        if error and error > (high - low) / 1000:
            what = f"{file}: target {target!r} holds whole numbers between {low} and {high}"
            raise HarnessError(f"{rounded(what, error, int(low))}, or set data.kind=class if they are names")
        return TargetColumn("real")
    if len(shape) != 1:
        raise HarnessError(f"{file}: target {target!r} has shape {shape}, expected one class for each sample, [N]")
    classes = sorted(map(int if whole else float, values)) if numeric else sorted(values)
    if len(classes) < 2:
        raise HarnessError(f"{file}: target {target!r} holds one class only, {classes[0]!s}: nothing to tell apart")
    remarks = _remarks(target, [] if numeric else list(map(str, classes)), stripped)
    return TargetColumn("class", tuple(classes), remarks)


def _remarks(target: str, names: list[str], stripped: int) -> tuple[str, ...]:
    remarks = [f"spaces around {stripped} values of target {target!r} are left out"] if stripped else []
    by_letters: dict[str, list[str]] = {}
    for name in names:
        by_letters.setdefault(name.casefold(), []).append(name)
    remarks += [
        f"classes {' and '.join(map(repr, similar))} of target {target!r} differ in upper and lower case alone"
        for similar in by_letters.values()
        if len(similar) > 1
    ]
    return tuple(remarks)


def column_of(y: np.ndarray, target: str, kind: str, file: Path) -> TargetColumn:
    """Return the target column of an array."""
    column = infer_target([y], target, kind, file)
    assert column is not None  # one array has one type
    return column
