"""What the target of a file is: classes, or real numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.errors import HarnessError

FEW = 20  # whole numbers of up to so many different values are taken for classes


@dataclass(frozen=True)
class Told:
    """A kind of target; for classes their values, in order."""

    kind: Literal["class", "real"]
    values: tuple[Any, ...] = ()

    @property
    def classes(self) -> list[str]:
        """Their names."""
        return [str(value) for value in self.values]

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as a data set holds them: int64 [n], the places of their values, or real numbers [n, D]."""
        if self.kind == "real":
            return y.reshape(len(y), -1)
        return pd.Index(list(self.values)).get_indexer(_plain(y)).astype(np.int64)


def _plain(y: np.ndarray) -> np.ndarray:
    """Numbers as they are, everything else as texts."""
    return y if y.dtype.kind in "fiu" else y.astype(str)


def tell(chunks: Iterable[np.ndarray], target: str, kind: str, file: Path) -> Told | None:
    """What targets are that are seen a part at a time; None where some parts are numbers and others are not: a table's
    column then is text as a whole, and wants to be read as such.
    """
    letters: set[str] = set()
    values: set[Any] = set()
    shape: tuple[int, ...] = ()
    for y in chunks:
        letters.add({"u": "i"}.get(y.dtype.kind, y.dtype.kind) if y.dtype.kind in "bfiu" else "t")
        shape = shape or y.shape
        if not len(y) or kind == "real" or y.ndim != 1:
            continue
        if kind == "class" or not letters <= {"i", "f"} or ("f" not in letters and len(values) <= FEW):
            values |= set(np.unique(_plain(y)).tolist())
    if not shape or not shape[0]:
        raise HarnessError(f"{file} holds no samples")
    if len(letters) > 1 and not letters <= {"i", "f"}:
        return None
    numeric = letters <= {"i", "f"}
    if kind == "auto":
        few = letters == {"i"} and len(shape) == 1 and len(values) <= FEW
        kind = "class" if not numeric or few else "real"
    if kind == "real":
        if not numeric:
            raise HarnessError(f"{file}: target {target!r} holds no numbers, and data.kind=real expects them")
        return Told("real")
    if len(shape) != 1:
        raise HarnessError(f"{file}: target {target!r} has shape {shape}, and classes are one a sample")
    found = sorted(map(float, values)) if "f" in letters else sorted(values)
    if len(found) < 2:
        raise HarnessError(f"{file}: target {target!r} holds one class only, {found[0]!s}: nothing to tell apart")
    return Told("class", tuple(found))


def told(y: np.ndarray, target: str, kind: str, file: Path) -> Told:
    """What an array of targets is."""
    found = tell([y], target, kind, file)
    assert found is not None  # one array has one type
    return found
