"""What diagnostics found in a whole run, in a few numbers: the first and the last of each, and the extremes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TAGS = 24  # of one diagnostic that a record holds: of a deep network, those of its first layers and of its last
KEYS = ("first", "last", "min", "max")


class Summary:
    """Of one run. Its size does not grow with the number of looks."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, list[float]]] = {}  # {name: {tag: [first, last, min, max]}}

    def add(self, found: Mapping[str, Any], step: int, epoch: int) -> None:
        """What was found at a step, {NAME/TAG: value}; what is no number is in no summary."""
        for full, value in found.items():
            if not isinstance(value, float):
                continue
            name, _, tag = full.partition("/")
            values = self._found.setdefault(name, {})
            if tag not in values:
                values[tag] = [value, value, value, value]
                continue
            first, _, least, most = values[tag]
            if not math.isnan(value):
                least = value if math.isnan(least) else min(least, value)
                most = value if math.isnan(most) else max(most, value)
            values[tag] = [first, value, least, most]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return {name: {"first": {tag: value}, "last": {...}, "min": {...}, "max": {...}}}, to six digits.

        "min" and "max" leave out the tags whose extreme is the first value or the last: the lesser, or the larger, of
        these two is it. `left_out` counts the tags that are more than a record holds.
        """
        rows: dict[str, dict[str, Any]] = {}
        for name, values in self._found.items():
            tags = list(values)
            kept = tags if len(tags) <= TAGS else [*tags[: TAGS // 2], *tags[-TAGS // 2 :]]
            told = {tag: [float(f"{value:.6g}") for value in values[tag]] for tag in kept}
            rows[name] = {key: {tag: told[tag][place] for tag in kept} for place, key in enumerate(KEYS[:2])}
            for place, key in enumerate(KEYS[2:], 2):
                rows[name][key] = {tag: four[place] for tag, four in told.items() if not _same_as_ends(four, place)}
            if len(tags) > TAGS:
                rows[name]["left_out"] = len(tags) - TAGS
        return rows


def _same_as_ends(values: list[float], place: int) -> bool:
    """Return True if the value at a place is the first or the last, or if none of them is a number."""
    return values[place] in values[:2] or math.isnan(values[place])
