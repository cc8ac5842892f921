"""Write and read curves.csv: the values that a run measured during training, in long form."""

from __future__ import annotations

import contextlib
import csv
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.results.record import Record
from harness.results.study import record_of
from harness.system import safe_files

FILE = "curves.csv"
MAX_BYTES = safe_files.GB  # size of a file to read
EVERY_S = 0.5  # time between two writes; a killed run loses at most this much of its curves


class Curves:
    """Appends rows (step, epoch, metric, value) to a run's curves.csv, several epochs at a time.

    The file is not kept open, since a sweep has many runs.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._pending: list[tuple[dict[str, float], int, int]] = []
        self._header = "step,epoch,metric,value\n"
        self._written = time.monotonic()

    def add(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """Add the metrics of an epoch."""
        self._pending.append((dict(metrics), step, epoch))
        if time.monotonic() - self._written > EVERY_S:
            self.flush()

    def look(self, found: Mapping[str, Any], step: int, epoch: int) -> None:
        """Add the scalars among the values of diagnostics."""
        self.add({name: value for name, value in found.items() if isinstance(value, float)}, step, epoch)

    def flush(self) -> None:
        """Write all pending rows. The file exists afterwards, with its header."""
        if not (self._pending or self._header):
            return
        rows = [f"{step},{epoch},{n},{v!r}\n" for metrics, step, epoch in self._pending for n, v in metrics.items()]
        safe_files.append(self.path, "".join([self._header, *rows]).encode())
        self._header, self._pending = "", []
        self._written = time.monotonic()


def read_curves(run: str | Path | Record) -> list[tuple[int, int, str, float]]:
    """Read the rows (step, epoch, metric, value) of a run's curves.csv.

    Args:
        run: A record, or the folder of a run.

    Returns:
        The rows without torn ones; none if the file is missing, too large or not a regular file.

    Raises:
        HarnessError: If the folder has no record of a run.
    """
    try:
        text = safe_files.read(record_of(run).folder / FILE, MAX_BYTES).decode(errors="replace")
    except OSError:
        return []
    lines = csv.reader(text.replace("\0", "").splitlines())
    rows = []
    with contextlib.suppress(csv.Error):  # raised for a field that is too large
        next(lines, None)
        for row in lines:
            if len(row) == 4 and _is_count(row[0]) and _is_count(row[1]):
                rows.append((int(row[0]), int(row[1]), row[2], _number(row[3])))
    return rows


def _is_count(text: str) -> bool:
    """Return True for a whole number in the range of steps."""
    return len(text) <= 18 and text.isdecimal()


def _number(text: str) -> float:
    """Parse a value; nan for a torn row."""
    try:
        return float(text)
    except ValueError:
        return math.nan
