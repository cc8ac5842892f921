"""What is measured of a run, read from its record and its curves."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import Record, read_curves

SOURCES = ("metric", "best", "record", "curve", "epochs", "completed")
MOMENTS = ("first", "last", "max", "min", "end")
ACROSS = ("first", "last", "mean", "first/last", "slope")
SCALES = {"log": math.log, "log10": math.log10}
SIGNS = {"ratio": "/", "difference": "-", "product": "*", "sum": "+"}
COMBINED = tuple(SIGNS)
Directions = Mapping[str, bool]
NO_DIRECTIONS: Directions = {}
_WHEN = re.compile(r"\s*([\w./-]+)\s*(<=|>=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Reading:
    """One number of a run.

    Attributes:
        source: "metric" at the end of the run, "best" over its epochs, "record" by a key with dots, "curve" of the
            values during training, "epochs" until a value is reached (infinite if it never is), or "completed": 1 if
            the run completed and 0 if not.
        name: The metric, the key of the record, the pattern of the curves' names, or the value that is reached.
        at: The moment of a curve: "first", "last", "max", "min", "end" for a diagnostic that is measured once, after
            training, {"epoch": n} or {"when": "train/loss <= 0.1"}.
        over: How the curves of several layers become one number, in the order of the layers.
    """

    source: str
    name: str = ""
    at: Any = "last"
    over: str = "first"

    def text(self, language: str) -> str:
        """Return in words what is read."""
        if self.source == "epochs":
            return {"en": f"epochs until {self.name}", "ko": f"{self.name}까지의 에폭"}[language]
        return self.name or self.source

    @property
    def timed(self) -> bool:
        """True if the number is a time or depends on the load of the machine."""
        return self.diagnostic == "systems" or (self.source == "record" and self.name.startswith("time."))

    @property
    def diagnostic(self) -> str | None:
        """The diagnostic that measures the number, or None."""
        if self.source == "record" and self.name.startswith("diagnostics."):
            return self.name.split(".")[1]
        first = self.name.partition("/")[0]
        return first if self.source == "curve" and first not in _SPLITS else None

    def of(self, record: Record, directions: Directions = NO_DIRECTIONS) -> float | None:
        """Return the number; None if the run did not complete or did not measure it.

        A run that diverged has the curves of diagnostics up to that step, and metrics of the epochs before.

        Args:
            record: The record of the run.
            directions: Whether higher is better, by the name of a metric. If a run diverged, such a metric has its
                worst value, an infinite one, unless it is read at an epoch before.
        """
        if self.source == "completed":
            return float(record.status == "completed")
        if self.source == "epochs":
            return self._epochs(record) if record.status in ("completed", "diverged") else None
        if record.status == "diverged":
            return self._of_diverged(record, directions)
        if record.status != "completed":
            return None
        value: Any = None
        if self.source == "metric":
            value = record.metrics.get(self.name)
        elif self.source == "best":
            value = record.best.get(self.name, {}).get("value")
        elif self.source == "record":
            value = _at_key(record, self.name)
        else:
            value = self._of_curves(_curves(record))
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None

    def _of_diverged(self, record: Record, directions: Directions) -> float | None:
        before = self.diagnostic is not None or self.at == "first" or (isinstance(self.at, dict) and "epoch" in self.at)
        value = self._of_curves(_curves(record)) if self.source == "curve" and before else None
        if value is None and self.source in ("metric", "best", "curve") and self.name in directions:
            return -math.inf if directions[self.name] else math.inf
        return value

    def _epochs(self, record: Record) -> float:
        match = _WHEN.fullmatch(self.name)
        assert match is not None  # `_reading` has checked it
        return min(_reached(_curves(record), match), default=math.inf)

    def _of_curves(self, curves: dict[str, list[tuple[int, float]]]) -> float | None:
        names = [name for name in curves if fnmatch.fnmatchcase(name, self.name)]
        values = [self._at(curves, curves[name]) for name in names]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        if self.over == "slope":
            return _slope(list(range(len(known))), known) if len(known) > 1 else None
        if self.over == "first/last":
            return known[0] / known[-1] if known[-1] else None
        return {"first": known[0], "last": known[-1], "mean": math.fsum(known) / len(known)}[self.over]

    def _at(self, curves: dict[str, list[tuple[int, float]]], curve: list[tuple[int, float]]) -> float | None:
        values = [value for _, value in curve]
        if isinstance(self.at, str):
            moments = {"first": values[0], "last": values[-1], "max": max(values), "min": min(values)}
            return moments["last" if self.at == "end" else self.at]
        if "epoch" in self.at:
            return next((value for epoch, value in curve if epoch == self.at["epoch"]), None)
        match = _WHEN.fullmatch(self.at["when"])
        assert match is not None  # `_reading` has checked it
        reached = _reached(curves, match)
        return next((value for epoch, value in curve if reached and epoch >= reached[0]), None)


@dataclass(frozen=True)
class Measure:
    """A number made of one or more readings.

    Attributes:
        readings: The readings.
        combined: "ratio", "difference" or "product" of two readings, "sum" of two or more; "" for one.
        scale: "log" or "log10" of the reading; "" for the reading itself.
    """

    readings: tuple[Reading, ...]
    combined: str = ""
    scale: str = ""

    @property
    def timed(self) -> bool:
        """True if a reading is a time or depends on the load of the machine."""
        return any(reading.timed for reading in self.readings)

    @property
    def may_be_infinite(self) -> bool:
        """True if a run that never reaches a value has no finite number."""
        return any(reading.source == "epochs" for reading in self.readings)

    def of(self, record: Record, directions: Directions = NO_DIRECTIONS) -> float | None:
        """Return the number; None if a reading is missing. See `Reading.of` for the arguments."""
        values = [reading.of(record, directions) for reading in self.readings]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        if self.combined and any(math.isinf(value) for value in known):
            return None
        if self.combined == "sum":
            return math.fsum(known)
        if self.combined:
            a, b = known
            if self.combined == "ratio" and not b:
                return None
            return {"ratio": lambda: a / b, "difference": lambda: a - b, "product": lambda: a * b}[self.combined]()
        if self.scale:
            return SCALES[self.scale](known[0]) if known[0] > 0 else None
        return known[0]

    def text(self, language: str) -> str:
        """Return in words what is measured."""
        names = [reading.text(language) for reading in self.readings]
        if self.combined:
            return f" {SIGNS[self.combined]} ".join(names)
        return f"{self.scale} {names[0]}".strip()


def measure(row: Any) -> Measure:
    """Return a measure from plain data.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(row, dict) and len(row) == 1:
        ((key, inner),) = row.items()
        if key in SCALES:
            return Measure((_reading(inner),), scale=key)
        if key in COMBINED:
            if not isinstance(inner, list) or len(inner) < 2 or (len(inner) > 2 and key != "sum"):
                many = "two readings or more" if key == "sum" else "two readings"
                raise ValueError(f"measure.{key} takes {many}, got {inner!r}")
            return Measure(tuple(_reading(one) for one in inner), combined=key)
    return Measure((_reading(row),))


def _reading(row: Any) -> Reading:
    if row == "completed":
        return Reading("completed")
    sources = [key for key in row if key in SOURCES] if isinstance(row, dict) else []
    if len(sources) != 1:
        raise ValueError(f"a reading names one of {', '.join(SOURCES)}, got {row!r}")
    source = sources[0]
    if source == "epochs" and not _WHEN.fullmatch(str(row["epochs"])):
        raise ValueError(f"epochs compares a curve with a number, 'val/accuracy >= 0.9', got {row['epochs']!r}")
    known = {source, "at", "over"} if source == "curve" else {source}
    if unknown := row.keys() - known:
        raise ValueError(f"a reading of {source} has no key {sorted(unknown)[0]!r}")
    at, over = row.get("at", "last"), row.get("over", "first")
    if isinstance(at, dict):
        if at.keys() == {"when"}:
            if not isinstance(at["when"], str) or not _WHEN.fullmatch(at["when"]):
                raise ValueError(f"at.when compares a curve with a number, 'train/loss <= 0.1', got {at['when']!r}")
        elif at.keys() != {"epoch"} or type(at["epoch"]) is not int:
            raise ValueError(f"at takes {', '.join(MOMENTS)}, {{epoch: n}} or {{when: ...}}, got {at!r}")
    elif at not in MOMENTS:
        raise ValueError(f"at takes {', '.join(MOMENTS)}, {{epoch: n}} or {{when: ...}}, got {at!r}")
    if over not in ACROSS:
        raise ValueError(f"over takes one of {', '.join(ACROSS)}, got {over!r}")
    return Reading(source, str(row[source]), at, over)


def _at_key(record: Record, key: str) -> Any:
    first, *rest = key.split(".")
    node = getattr(record, first, None)
    for part in rest:
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _curves(record: Record) -> dict[str, list[tuple[int, float]]]:
    """Return the finite values of each curve with their epochs, counted from 1, in the order of the file."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for _, epoch, name, value in read_curves(record):
        if math.isfinite(value):
            curves.setdefault(name, []).append((epoch + 1, value))
    return curves


def _reached(curves: dict[str, list[tuple[int, float]]], match: re.Match[str]) -> list[int]:
    """Return the epochs in which a curve is beyond a number, `NAME <= number`."""
    name, sign, bound = match[1], match[2], float(match[3])
    return [epoch for epoch, value in curves.get(name, ()) if (value <= bound if sign == "<=" else value >= bound)]


def _slope(x: list[int], y: list[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), math.fsum(y) / len(y)
    return math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
