"""Evidence from a run's files: its record, its curves, its diagnostics. Needs no data, no weights and no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from harness import Record
from harness_doctor.engine import KEY, Catalogue, current, full_tag, read_curves
from harness_doctor.evidence import RunEvidence, Series

Rows = Iterable[tuple[int, int, str, float]]  # step, epoch, metric, value


def seen(record: Record) -> RunEvidence:
    """Return the evidence from a run's files."""
    history: dict[str, Series] = {}
    tags: dict[str, Series] = {}
    nodes = record.config.get("diagnostic", {})
    nodes = nodes if isinstance(nodes, dict) else {}
    for step, epoch, metric, value in read_curves(record):
        if metric.partition("/")[0] in nodes:
            tags.setdefault(metric, []).append((step, value))
        else:
            history.setdefault(metric, []).append((epoch, value))
    return RunEvidence(
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
    """Return {quantity: {layer: series}} for the tags of diagnostics that declare their quantities."""
    quantities: dict[str, dict[str, Series]] = {}
    for name, node in nodes.items():
        entry = known.entries["diagnostic"].get(str(node.get(KEY))) if isinstance(node, dict) else None
        patterns = entry["traits"].get("tells", {}) if entry else {}
        shapes = [(_shape(name, pattern), quantity) for pattern, quantity in patterns.items()]
        for tag, series in tags.items():
            for shape, quantity in shapes:
                if match := shape.fullmatch(tag):
                    layer = match.groupdict().get("layer") or ""
                    quantities.setdefault(quantity, {})[layer] = series
                    break  # the first matching pattern applies
    return quantities


def _shape(name: str, pattern: str) -> re.Pattern[str]:
    """Return the pattern of a diagnostic's tags."""
    return re.compile(re.escape(full_tag(name, pattern)).replace(r"\{layer\}", "(?P<layer>[^/]+)"))
