"""curves.csv: every value that a run measured while it trained, in long form."""

from __future__ import annotations

import contextlib
import csv
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.results.record import Record
from harness.system import safe_files

FILE = "curves.csv"
LARGEST = safe_files.GB  # of a file that is read
EVERY_S = 0.5  # a killed run shows its curves up to this long ago


class Curves:
    """Appends (step, epoch, metric, value) rows, some epochs at a time. The file is not kept open: runs are many."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._held: list[tuple[dict[str, float], int, int]] = []
        self._head = "step,epoch,metric,value\n"
        self._written = 0.0

    def add(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """An epoch's metrics."""
        self._held.append((dict(metrics), step, epoch))
        if time.monotonic() - self._written > EVERY_S:
            self.flush()

    def look(self, found: Mapping[str, Any], step: int, epoch: int) -> None:
        """What diagnostics found, as far as it is numbers."""
        self.add({name: value for name, value in found.items() if isinstance(value, float)}, step, epoch)

    def flush(self) -> None:
        """Hands all rows over to the file system."""
        rows = [f"{step},{epoch},{n},{v!r}\n" for metrics, step, epoch in self._held for n, v in metrics.items()]
        safe_files.append(self.path, "".join([self._head, *rows]).encode())
        self._head, self._held = "", []
        self._written = time.monotonic()


def rows(record: Record) -> list[tuple[int, int, str, float]]:
    """The rows of curves.csv; none where it is missing or no plain file, and of the others those that are whole."""
    try:
        text = safe_files.read(record.folder / FILE, LARGEST).decode(errors="replace")
    except OSError:
        return []
    lines = csv.reader(text.replace("\0", "").splitlines())
    found = []
    with contextlib.suppress(csv.Error):  # a field that is larger than any
        next(lines, None)
        for row in lines:
            if len(row) == 4 and _count(row[0]) and _count(row[1]):
                found.append((int(row[0]), int(row[1]), row[2], _number(row[3])))
    return found


def _count(text: str) -> bool:
    """Return True for a whole number that is no larger than any step can be."""
    return len(text) <= 18 and text.isdecimal()


def _number(text: str) -> float:
    """A value; nan of a row that is torn."""
    try:
        return float(text)
    except ValueError:
        return math.nan
