"""What the target of a file is: classes, or real numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness import HarnessError

FEW = 20  # whole numbers of up to so many different values are taken for classes


@dataclass(frozen=True)
class TargetColumn:
    """A kind of target; for classes their values, in order."""

    kind: Literal["class", "labels", "real"]
    values: tuple[Any, ...] = ()  # of labels: their places
    remarks: tuple[str, ...] = ()  # on what was made of them

    @property
    def classes(self) -> list[str]:
        """Their names."""
        return [str(value) for value in self.values]

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as a data set holds them: int64 [n], the places of their values, or numbers [n, D]."""
        if self.kind != "class":
            return y.astype(np.float64 if self.kind == "real" else np.float32).reshape(len(y), -1)
        return pd.Index(list(self.values)).get_indexer(_plain(_column(y))).astype(np.int64)


def _column(y: np.ndarray) -> np.ndarray:
    """[n, 1] as [n]."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _plain(y: np.ndarray) -> np.ndarray:
    """Numbers as they are, everything else as texts without spaces around them."""
    return y if y.dtype.kind in "fiu" else np.char.strip(y.astype(str))


def _whole(y: np.ndarray) -> bool:
    """Whether numbers have no fraction."""
    return y.dtype.kind in "iu" or bool((np.abs(y) < 2**53).all() and (y == np.round(y)).all())


def rounding(y: np.ndarray) -> int:
    """How much float64 changes whole numbers, at most.

    >>> rounding(np.array([2**53, 2**53 + 1])), rounding(np.array([1, 2]))
    (1, 0)
    """
    wide = np.unique(y[(y >= 2**53) | (y <= -(2**53))])
    return max((abs(int(value) - int(float(value))) for value in wide.tolist()), default=0)


def rounded(what: str, error: int, low: int) -> str:
    """What to do about whole numbers that float64 rounds."""
    return f"{what}, which float64 rounds by up to {error}: subtract {low} from all of them"


def tell(chunks: Iterable[np.ndarray], target: str, kind: str, file: Path) -> TargetColumn | None:
    """What targets are that are seen a part at a time; None where some parts are numbers and others are not: a table's
    column then is text as a whole, and wants to be read as such.
    """
    letters: set[str] = set()
    values: set[Any] = set()
    shape: tuple[int, ...] = ()
    whole = truths = True  # numbers without a fraction; 0 and 1 alone
    stripped = error = 0
    low, high = float("inf"), float("-inf")
    for part in chunks:
        y = _column(part)
        if y.dtype.kind in "iu" and len(y):
            low, high = min(low, int(y.min())), max(high, int(y.max()))
            error = max(error, rounding(y))
        letters.add({"u": "i"}.get(y.dtype.kind, y.dtype.kind) if y.dtype.kind in "bfiu" else "t")
        shape = shape or y.shape
        if not len(y) or kind == "real":
            continue
        if y.ndim != 1:
            truths = truths and y.dtype.kind in "bfiu" and bool(((y == 0) | (y == 1)).all())
            continue
        whole = whole and y.dtype.kind in "fiu" and _whole(y)
        if kind == "class" or not letters <= {"i", "f"} or (whole and len(values) <= FEW):
            plain = _plain(y)
            stripped += int((plain != y.astype(str)).sum()) if y.dtype.kind not in "bfiu" else 0
            values |= set(np.unique(plain).tolist())
    if not shape or not shape[0]:
        raise HarnessError(f"{file} holds no samples")
    if len(letters) > 1 and not letters <= {"i", "f"}:
        return None
    numeric = letters <= {"i", "f"}
    columns = len(shape) == 2
    if kind == "auto":
        few = whole and not columns and len(values) <= FEW
        kind = "labels" if columns and truths else "class" if not numeric or few else "real"
    if kind == "labels":
        if not columns or not truths:
            got = "other values" if columns else f"shape {shape}"
            raise HarnessError(f"{file}: labels are columns of 0 and 1, [N, L], and target {target!r} holds {got}")
        return TargetColumn("labels", tuple(range(shape[1])))
    if kind == "real":
        if not numeric:
            raise HarnessError(f"{file}: target {target!r} holds no numbers, and data.kind=real expects them")
        if error and error > (high - low) / 1000:
            what = f"{file}: target {target!r} holds whole numbers between {low} and {high}"
            raise HarnessError(f"{rounded(what, error, int(low))}, or say data.kind=class if they are names")
        return TargetColumn("real")
    if len(shape) != 1:
        raise HarnessError(f"{file}: target {target!r} has shape {shape}, and classes are one a sample")
    found = sorted(map(int if whole else float, values)) if numeric else sorted(values)
    if len(found) < 2:
        raise HarnessError(f"{file}: target {target!r} holds one class only, {found[0]!s}: nothing to tell apart")
    remarks = _remarks(target, [] if numeric else list(map(str, found)), stripped)
    return TargetColumn("class", tuple(found), remarks)


def _remarks(target: str, names: list[str], stripped: int) -> tuple[str, ...]:
    made = [f"spaces around {stripped} values of target {target!r} are left out"] if stripped else []
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold(), []).append(name)
    made += [
        f"classes {' and '.join(map(repr, found))} of target {target!r} differ in upper and lower case alone"
        for found in alike.values()
        if len(found) > 1
    ]
    return tuple(made)


def told(y: np.ndarray, target: str, kind: str, file: Path) -> TargetColumn:
    """What an array of targets is."""
    found = tell([y], target, kind, file)
    assert found is not None  # one array has one type
    return found
