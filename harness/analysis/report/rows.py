"""A comparison as data for other programs: long rows, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from harness.analysis.comparison.model import Comparison, Difference
from harness.analysis.report.ranking import tables_of, to_reference
from harness.system.escape import printable

SCHEMA = 1  # of the JSON text
Row = dict[str, Any]
_DECISION = (
    "n", "estimate", "low", "high", "p", "level", "coverage", "won", "verdict", "settled_at", "decided_by", "floor",
    "needed",
)  # fmt: skip
DIFFERENCE = ("data", "arm", "against", "metric", *_DECISION)  # the columns of each kind of row
EFFECT = ("data", "factors", "levels", "n", "estimate", "low", "high", "p", "verdict")
TUNED = ("data", "arm", "method", "budget", "trials", "failed", "steps", "seeds", "metric", "score", "settings")
BUDGET = ("data", "arm", "metric", "budget", "score", "low", "high")
FAILURE = ("data", "arm", "status", "why", "runs", "of", "p", "findings")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of a formula


def arm_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each arm on each data set, with its difference to the reference."""
    rows = []
    for table in tables_of(comparison):
        decided = to_reference(table)
        for index, arm in enumerate(table.arms):
            d = decided.get(arm.name)
            row: Row = {"data": table.data, "rank": index + 1 if arm.completed else None, "arm": arm.name}
            row |= {factor: arm.levels.get(factor) for factor in comparison.factors if factor not in row}
            row |= {"metric": comparison.metric.name, "runs": arm.runs, "completed": arm.completed}
            row |= {"mean": arm.mean, "sd": arm.sd, "mean_low": arm.low, "mean_high": arm.high}
            row |= {"against": None if d is None else d.against} | _decision(d)
            row |= {"seconds": arm.seconds, "parameters": arm.parameters, "epochs_made": arm.epochs}
            rows.append(row)
    return rows


def difference_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each pair of arms that was decided, on each data set."""
    return [
        {"data": table.data, "arm": d.arm, "against": d.against, "metric": comparison.metric.name} | _decision(d)
        for table in tables_of(comparison)
        for d in table.differences
    ]


def _decision(d: Difference | None) -> Row:
    return {key: None if d is None else getattr(d, key) for key in _DECISION}


def effect_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each main effect and each interaction."""
    rows = [{key: getattr(effect, key) for key in EFFECT} for effect in comparison.effects]
    return [row | {"factors": " x ".join(row["factors"]), "levels": ",".join(row["levels"])} for row in rows]


def failure_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each arm, data set and reason for which runs did not complete."""
    rows = [{key: getattr(failure, key) for key in FAILURE} for failure in comparison.failures]
    return [row | {"findings": "\n".join(row["findings"])} for row in rows]


def tuned_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each winner of a search; an arm has several with `tune.per_seed`."""
    return [
        {key: getattr(t, key) for key in TUNED[:-3]}
        | {"metric": t.metric.name, "score": winner.score, "settings": dict(winner.settings)}
        for t in comparison.tuning.contestants
        for winner in t.winners
    ]


def budget_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each arm, data set and budget of the tuning curves."""
    rows = []
    for t in comparison.tuning.contestants:
        for place, budget in enumerate(t.curve.budgets if t.curve is not None else ()):
            assert t.curve is not None
            edges = [edge[place] if len(edge) else None for edge in (t.curve.low, t.curve.high)]
            values = (t.data, t.arm, t.metric.name, budget, t.curve.score[place], *edges)
            rows.append(dict(zip(BUDGET, values, strict=True)))
    return rows


def to_json(comparison: Comparison) -> str:
    """Return a comparison as JSON text: the keys of its data classes; a number that is not finite is null.

    Each key of the comparison is one line, since indented text takes ten times as long to write.
    """
    rows = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in _plain(comparison).items()]
    return "{" + ",\n ".join([f'"schema": {SCHEMA}', *rows]) + "}"


def _plain(value: Any) -> Any:
    """Return a value as plain JSON data."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return _plain(value.item()) if isinstance(value, np.generic) else str(value)


def to_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV text.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.

    >>> print(to_csv([{"arm": "=1+1", "mean": -0.5}]), end="")
    arm,mean
    '=1+1,-0.5
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(key) for key in (rows[0] if rows else ())])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
