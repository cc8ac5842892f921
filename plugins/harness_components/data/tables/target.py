"""The target column of a table, as classes or real numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from harness import HarnessError
from harness_components.data.files.targets import TargetColumn, infer_target
from harness_components.data.tables.columns import Values
from harness_components.data.tables.plan import Choice, Column, Plan
from harness_components.data.tables.reader import Table

_WHOLE = re.compile(r"[+-]?[0-9]+")


def target_values(series: pd.Series, column: Column, choice: Choice, plan: Plan) -> np.ndarray:
    """Return the targets of some rows, [N]: integers, real numbers, booleans, or texts as they are written."""
    if pd.api.types.is_bool_dtype(series.dtype):
        return series.to_numpy(dtype=bool)
    if column.kind == "date" and choice.kind != "class":
        return column.read(series, plan.missing)
    values = Values(series, plan.missing)
    if values.type == "other":
        raise HarnessError(f"{column.name!r} cannot be predicted: it holds neither numbers nor texts")
    if values.type == "number":
        whole = pd.api.types.is_integer_dtype(series.dtype) and not series.isna().any()
        return np.asarray(series.to_numpy()) if whole else values.array
    texts = values.array.astype(str)
    if column.decimal is None:
        return texts
    parsed = Column.read(_as_number(column), series, plan.missing)
    if np.isnan(parsed).any():
        return texts
    if not all(_WHOLE.fullmatch(text) for text in texts.tolist()):
        return parsed
    if float(np.abs(parsed).max(initial=0)) < 2**63:
        return np.asarray([int(text) for text in texts.tolist()], dtype=np.int64)  # exact, unlike float64
    return texts if choice.kind == "class" else parsed


def _as_number(column: Column) -> Column:
    return Column(
        column.name, column.role, "number", column.action, column.count, column.missing, decimal=column.decimal
    )


def infer_column(table: Table, plan: Plan, choice: Choice, rows: int | None = None) -> TargetColumn:
    """Infer the kind of the target, and its classes, from all rows."""
    column = plan.column(choice.target)

    def chunks(texts: bool) -> Iterator[np.ndarray]:
        for frame in table.frames(rows, [choice.target]):
            y = target_values(frame[choice.target], column, choice, plan)
            yield y.astype(str) if texts else y

    category = column.kind == "category" and choice.kind == "auto"  # also where it is written as numbers
    kind = "class" if category else choice.kind
    target = infer_target(chunks(False), choice.target, kind, table.file)
    if target is None:
        target = infer_target(chunks(True), choice.target, kind, table.file)
    assert target is not None, "texts have a kind"
    return target


def all_targets(table: Table, plan: Plan, choice: Choice, rows: int | None = None) -> np.ndarray:
    """Return the targets of all rows, [N]."""
    column = plan.column(choice.target)
    frames: Iterable[pd.DataFrame] = table.frames(rows, [choice.target])
    return np.concatenate([target_values(frame[choice.target], column, choice, plan) for frame in frames])
