"""Make a data frame of records, one row per run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas

from harness.results.factors import differing, factors
from harness.results.levels import MISSING, distinct, level, swept_keys
from harness.results.run_id import changes_result

if TYPE_CHECKING:
    from harness.results.record import Record

# Types of a column's values, with the data type of a complete column and of one with missing values.
_DTYPES: tuple[tuple[set[type], str | None, str], ...] = (
    ({bool}, "bool", "boolean"),
    ({int}, "int64", "Int64"),
    ({int, float}, "float64", "Float64"),
    ({str}, None, "string"),
)


def to_frame(records: Sequence[Record], factors_only: bool = False) -> pandas.DataFrame:
    """Return a data frame with one row for each run; `Records.to_pandas` describes the columns."""
    metrics = {
        name: column([r.metrics.get(name) for r in records], "Float64")
        for name in dict.fromkeys(name for r in records for name in r.metrics)
    }
    status = column([r.status for r in records])
    if factors_only:
        levels = {key: column([level(r, key) for r in records]) for key in factors(records)}
        return pandas.DataFrame(levels | {"status": status} | metrics)
    columns = {name: column([getattr(r, name) for r in records]) for name in ("id", "name", "study")}
    columns["status"] = status
    swept = {key: [level(r, key) for r in records] for key in swept_keys(records)}
    swept = {key: values for key, values in swept.items() if len(distinct(values)) > 1}
    in_config = differing(records)
    typed = {key: values for key, values in swept.items() if key not in in_config}  # experiments and presets
    settings = typed | in_config | swept
    columns |= {key: column(values) for key, values in settings.items() if changes_result(key)}
    columns |= metrics
    results = {
        "parameters": column([r.model.get("parameters") for r in records], "Int64"),
        "epochs_made": column([r.time.get("epochs") for r in records], "Int64"),
        "steps_made": column([r.time.get("steps") for r in records], "Int64"),
        **{name: column([r.time.get(name) for r in records], "Float64") for name in ("fit_s", "share_s", "total_s")},
        "path": column([r.cohort.get("path") for r in records]),
        "test_size": column([r.data.get("test") for r in records], "Int64"),
        "error_type": column([(r.error or {}).get("type") for r in records]),
        "folder": column([str(r.folder) for r in records]),
    }
    return pandas.DataFrame(columns | {name: column for name, column in results.items() if name not in metrics})


def column(values: Sequence[Any], empty: str = "string") -> pandas.Series[Any]:
    """Return a column of the data type of its values, in which each missing value is pandas.NA.

    Args:
        values: The values; None, nan and MISSING are missing.
        empty: The data type if all are missing.
    """
    missing = [value is None or value is MISSING or value != value for value in values]
    types = {type(value) for value, absent in zip(values, missing, strict=True) if not absent}
    if not types:
        return pandas.Series([pandas.NA] * len(values), dtype=empty)
    present = [pandas.NA if absent else value for value, absent in zip(values, missing, strict=True)]
    for allowed, complete, nullable in _DTYPES:
        if types <= allowed:
            with suppress(OverflowError, UnicodeError):  # a number beyond 64 bits, a text that is no Unicode
                return pandas.Series(present, dtype=nullable if any(missing) else complete)
    return pandas.Series(present, dtype="object")
