"""Summarize the values of diagnostics over a run for its record: first, last and extremes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TAGS = 24  # the most tags of a diagnostic in a record: in a deep network, those of its first and last layers
KEYS = ("first", "last", "min", "max")


class Summary:
    """The summary of one run. Its size does not depend on the number of measurements."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[float]]] = {}  # {name: {tag: [first, last, min, max]}}

    def add(self, measured: Mapping[str, Any], step: int, epoch: int) -> None:
        """Add values by `NAME/TAG`; values that are no floats are ignored."""
        for full, value in measured.items():
            if not isinstance(value, float):
                continue
            name, _, tag = full.partition("/")
            values = self._values.setdefault(name, {})
            if tag not in values:
                values[tag] = [value, value, value, value]
                continue
            first, _, lowest, highest = values[tag]
            if not math.isnan(value):
                lowest = value if math.isnan(lowest) else min(lowest, value)
                highest = value if math.isnan(highest) else max(highest, value)
            values[tag] = [first, value, lowest, highest]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the summary of each diagnostic by name.

        Returns:
            `{name: {"first": {tag: value}, "last": {...}, "min": {...}, "max": {...}}}`, to six digits. "min" and "max"
            leave out the tags whose extreme is the first value or the last: the lesser, or the larger, of these two is
            it. `left_out` counts the tags that are more than a record holds.
        """
        rows: dict[str, dict[str, Any]] = {}
        for name, values in self._values.items():
            tags = list(values)
            shown = tags if len(tags) <= TAGS else [*tags[: TAGS // 2], *tags[-TAGS // 2 :]]
            rounded = {tag: [float(f"{value:.6g}") for value in values[tag]] for tag in shown}
            rows[name] = {key: {tag: rounded[tag][place] for tag in shown} for place, key in enumerate(KEYS[:2])}
            for place, key in enumerate(KEYS[2:], 2):
                rows[name][key] = {tag: four[place] for tag, four in rounded.items() if not _same_as_ends(four, place)}
            if len(tags) > TAGS:
                rows[name]["left_out"] = len(tags) - TAGS
        return rows


def _same_as_ends(values: list[float], place: int) -> bool:
    """Return True if the value at a place is the first or the last, or if none of them is a number."""
    return values[place] in values[:2] or math.isnan(values[place])
