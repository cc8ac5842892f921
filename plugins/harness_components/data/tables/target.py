"""The target column of a table, as classes or real numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from harness import HarnessError
from harness_components.data.files.targets import TargetColumn, tell
from harness_components.data.tables.columns import Values
from harness_components.data.tables.plan import Choice, Column, Plan
from harness_components.data.tables.reader import Table

_WHOLE = re.compile(r"[+-]?[0-9]+")


def target_values(series: pd.Series, column: Column, choice: Choice, plan: Plan) -> np.ndarray:
    """The targets of some rows: whole or real numbers, truths, or texts, as they are written, [N]."""
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
    found = Column.read(_as_number(column), series, plan.missing)
    if np.isnan(found).any():
        return texts
    if not all(_WHOLE.fullmatch(text) for text in texts.tolist()):
        return found
    if float(np.abs(found).max(initial=0)) < 2**63:
        return np.asarray([int(text) for text in texts.tolist()], dtype=np.int64)  # to the last digit
    return texts if choice.kind == "class" else found


def _as_number(column: Column) -> Column:
    return Column(
        column.name, column.role, "number", column.action, column.count, column.missing, decimal=column.decimal
    )


def told_target(table: Table, plan: Plan, choice: Choice, rows: int | None = None) -> TargetColumn:
    """What the target is, and its classes."""
    column = plan.column(choice.target)

    def chunks(texts: bool) -> Iterator[np.ndarray]:
        for frame in table.frames(rows, [choice.target]):
            y = target_values(frame[choice.target], column, choice, plan)
            yield y.astype(str) if texts else y

    named = column.kind == "category" and choice.kind == "auto"  # categories that are written as numbers
    kind = "class" if named else choice.kind
    found = tell(chunks(False), choice.target, kind, table.file)
    if found is None:
        found = tell(chunks(True), choice.target, kind, table.file)
    assert found is not None, "texts have a kind"
    return found


def all_targets(table: Table, plan: Plan, choice: Choice, rows: int | None = None) -> np.ndarray:
    """The targets of all rows, [N]."""
    column = plan.column(choice.target)
    frames: Iterable[pd.DataFrame] = table.frames(rows, [choice.target])
    return np.concatenate([target_values(frame[choice.target], column, choice, plan) for frame in frames])
