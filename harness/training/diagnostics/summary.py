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
            `{name: {"first": {tag: value}, "last": {...}, "min": {...}, "max": {...}}}`, to six digits; `left_out`
            counts the tags that were left out.
        """
        rows: dict[str, dict[str, Any]] = {}
        for name, values in self._values.items():
            tags = list(values)
            shown = tags if len(tags) <= TAGS else [*tags[: TAGS // 2], *tags[-TAGS // 2 :]]
            rows[name] = {
                key: {tag: float(f"{values[tag][place]:.6g}") for tag in shown} for place, key in enumerate(KEYS)
            }
            if len(tags) > TAGS:
                rows[name]["left_out"] = len(tags) - TAGS
        return rows
