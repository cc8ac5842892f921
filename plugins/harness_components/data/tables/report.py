"""Report of a table for `harness show-data`, and checks of its header; imports no torch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness_components.data.files.readable import readable
from harness_components.data.tables.plan import Choice, check_columns, check_values, make_plan, named_columns, range_of
from harness_components.data.tables.reader import ParquetTable, Table
from harness_components.data.tables.target import all_targets, infer_column
from harness_components.data.tables.text import TextTable

ROWS = 100_000  # rows read at a time


def _table(settings: dict[str, Any]) -> Table:
    file = readable(settings["path"])
    if settings["_component_"] == "parquet":
        return ParquetTable(file)
    return TextTable(file, settings["separator"], settings["encoding"])


def _choice(settings: dict[str, Any]) -> Choice:
    names = ("target", "inputs", "drop", "categories", "ordinal", "missing", "decimal", "group", "order", "kind")
    return Choice(**{name: settings[name] for name in names if name in settings})


def check(settings: dict[str, Any]) -> None:
    """Raise HarnessError for a missing file, or one that lacks a named column. Reads the header alone."""
    choice = _choice(settings)
    check_columns(_table(settings), choice.target, named_columns(choice))


def describe(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a table as plain data: how it is read, its columns, and the classes of its target.

    Raises:
        HarnessError: For everything that a run would be refused for.
    """
    table, choice = _table(settings), _choice(settings)
    plan = make_plan(table, choice, ROWS)
    report: dict[str, Any] = {"file": str(table.file), "rows": plan.rows, **table.about}
    marks = {c.decimal for c in plan.columns if c.decimal}
    if table.words and marks:
        report["decimal"] = "," if "," in marks else "."
    report["columns"] = [
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
    report["remarks"] = list(plan.remarks)
    if choice.target:
        check_values(table, plan, choice, ROWS)
        target = infer_column(table, plan, choice, ROWS)
        report["remarks"] += target.remarks
        report["target"] = {"name": choice.target, "kind": target.kind}
        if target.kind == "class":
            counts = Counter(target.encode(all_targets(table, plan, choice, ROWS)).tolist())
            shares = {name: counts[i] / plan.rows for i, name in enumerate(target.classes)}
            report["target"]["classes"] = dict(sorted(shares.items(), key=lambda row: -row[1]))
    return report
