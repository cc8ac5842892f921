"""What a run's files tell: its record, its curves, and what its diagnostics measured. No data, no weights, no torch."""

from __future__ import annotations

import contextlib
import csv
import math
import re
from collections.abc import Iterable
from typing import Any

from harness import safe_files
from harness.catalogue import Catalogue, current
from harness.curves import FILE, LARGEST
from harness.diagnostics.diagnostic import full_tag
from harness.doctor.seen import Seen, Series
from harness.record import Record
from harness.schema import KEY

Rows = Iterable[tuple[int, int, str, float]]  # step, epoch, metric, value


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


def seen(record: Record) -> Seen:
    """A run, as far as its files tell of it."""
    history: dict[str, Series] = {}
    tags: dict[str, Series] = {}
    nodes = record.config.get("diagnostic", {})
    nodes = nodes if isinstance(nodes, dict) else {}
    for step, epoch, metric, value in rows(record):
        if metric.partition("/")[0] in nodes:
            tags.setdefault(metric, []).append((step, value))
        else:
            history.setdefault(metric, []).append((epoch, value))
    return Seen(
        config=record.config,
        choices=record.choices,
        status=record.status,
        error=record.error,
        history=history,
        measured=measured(tags, nodes, current()),
        time=record.time,
        memory=record.memory,
        counts=record.data | record.model,
    )


def measured(tags: dict[str, Series], nodes: dict[str, Any], known: Catalogue) -> dict[str, dict[str, Series]]:
    """{quantity: {layer: series}} of the tags of diagnostics that say what they tell."""
    found: dict[str, dict[str, Series]] = {}
    for name, node in nodes.items():
        entry = known.entries["diagnostic"].get(str(node.get(KEY))) if isinstance(node, dict) else None
        told = entry["traits"].get("tells", {}) if entry else {}
        shapes = [(_shape(name, pattern), quantity) for pattern, quantity in told.items()]
        for tag, series in tags.items():
            for shape, quantity in shapes:
                if match := shape.fullmatch(tag):
                    layer = match.groupdict().get("layer") or ""
                    found.setdefault(quantity, {})[layer] = series
                    break  # the first pattern that a tag matches holds
    return found


def _shape(name: str, pattern: str) -> re.Pattern[str]:
    """The tags of a diagnostic that a pattern stands for."""
    return re.compile(re.escape(full_tag(name, pattern)).replace(r"\{layer\}", "(?P<layer>[^/]+)"))
