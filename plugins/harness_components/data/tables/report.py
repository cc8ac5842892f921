"""What `harness show-data` tells of a table, and the mistakes that its header shows; neither needs torch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness_components.data.tables.plan import Choice, check_columns, check_values, make_plan, named_columns, range_of
from harness_components.data.tables.reader import ParquetTable, Table, readable
from harness_components.data.tables.target import all_targets, told_target
from harness_components.data.tables.text import TextTable

ROWS = 100_000  # that are looked at together


def _table(settings: dict[str, Any]) -> Table:
    file = readable(settings["path"])
    if settings["_component_"] == "parquet":
        return ParquetTable(file)
    return TextTable(file, settings["separator"], settings["encoding"])


def _choice(settings: dict[str, Any]) -> Choice:
    names = ("target", "inputs", "drop", "categories", "ordinal", "missing", "decimal", "group", "order", "kind")
    return Choice(**{name: settings[name] for name in names if name in settings})


def check(settings: dict[str, Any]) -> None:
    """Raise HarnessError for a file that is not there, or lacks a column that is named. Only its header is read."""
    choice = _choice(settings)
    check_columns(_table(settings), choice.target, named_columns(choice))


def describe(settings: dict[str, Any]) -> dict[str, Any]:
    """A table as plain data: how it is read, its columns, and the classes of its target.

    Raises:
        HarnessError: For all that a run would be refused for.
    """
    table, choice = _table(settings), _choice(settings)
    plan = make_plan(table, choice, ROWS)
    told: dict[str, Any] = {"file": str(table.file), "rows": plan.rows, **table.about}
    marks = {c.decimal for c in plan.columns if c.decimal}
    if table.words and marks:
        told["decimal"] = "," if "," in marks else "."
    told["columns"] = [
        {
            "name": c.name,
            "role": c.role,
            "kind": c.kind,
            "missing": c.missing / c.count,
            "values": range_of(c),
            "action": c.action,
        }
        for c in plan.columns
    ]
    told["remarks"] = list(plan.remarks)
    if choice.target:
        check_values(table, plan, choice, ROWS)
        found = told_target(table, plan, choice, ROWS)
        told["remarks"] += found.remarks
        told["target"] = {"name": choice.target, "kind": found.kind}
        if found.kind == "class":
            counts = Counter(found.encode(all_targets(table, plan, choice, ROWS)).tolist())
            shares = {name: counts[i] / plan.rows for i, name in enumerate(found.classes)}
            told["target"]["classes"] = dict(sorted(shares.items(), key=lambda row: -row[1]))
    return told
