"""curves.csv: every value that a run measured while it trained, in long form."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

FILE = "curves.csv"


class Curves:
    """Writes (step, epoch, metric, value) rows, an epoch at a time."""

    def __init__(self, folder: Path) -> None:
        self._file = open(folder / FILE, "w", newline="")  # noqa: SIM115  # closed by __exit__
        self._rows = csv.writer(self._file)
        self._rows.writerow(["step", "epoch", "metric", "value"])

    def add(self, metrics: dict[str, float], step: int, epoch: int) -> None:
        """An epoch's metrics; they are on the disk's way when this returns, so that a killed run shows its curves."""
        self._rows.writerows([step, epoch, name, repr(value)] for name, value in metrics.items())
        self._file.flush()

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
