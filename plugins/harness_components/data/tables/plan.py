"""Decide the role, type and encoding of each column of a table before training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness import HarnessError
from harness_components.data.tables.columns import CATEGORIES, EXACT, ColumnProfile, Kind, Values, is_sign, truth
from harness_components.data.tables.reader import FAULTS, UNNAMED, Fault, Table, check_columns
from harness_components.data.tables.values import OR, dates, numbers, other_order, written_date

Role = Literal["target", "input", "left out", "group", "order"]
_ID = re.compile(
    r"(.*[_\W])?(id|uuid|guid|index|idx|key|no|nr|rownames?|row)\W?|.*[a-z](ID|Id)|.*(번호|순번|아이디|식별자)", re.I
)
_REQUESTED = ("data.drop", "not in data.inputs")  # actions of columns that the user left out
_ID_CASE = re.compile(r".*[a-z](ID|Id)")  # customerId, and not "valid"
# Words of known order; others are sorted as texts
_SCALES = (
    ("xxs", "xs", "s", "m", "l", "xl", "xxl", "xxxl"), ("tiny", "small", "medium", "large", "huge"),
    ("very low", "low", "medium", "high", "very high"), ("low", "mid", "high"), ("low", "normal", "high"),
    ("never", "rarely", "sometimes", "often", "always"), ("bad", "poor", "fair", "good", "very good", "excellent"),
    ("fair", "good", "very good", "premium", "ideal"), ("first", "second", "third"), ("최하", "하", "중", "상", "최상"),
    ("소", "중", "대", "특대"), ("낮음", "보통", "높음"), ("나쁨", "보통", "좋음"), ("작음", "중간", "큼"),
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """The user's settings for a table."""

    target: str
    inputs: Sequence[str] = ()
    drop: Sequence[str] = ()
    categories: Sequence[str] = ()
    ordinal: Sequence[str] = ()
    missing: Sequence[str] = ()
    decimal: str = "auto"
    group: str | None = None
    order: str | None = None
    kind: str = "auto"

    @property
    def orders(self) -> dict[str, tuple[str, ...]]:
        """{column: its values from low to high, where they are given} for the ordinal columns."""
        orders = {}
        for text in self.ordinal:
            name, _, values = text.partition(":")
            orders[name.strip()] = tuple(v.strip() for v in values.split("<") if v.strip())
        return orders


@dataclass(frozen=True)
class Column:
    """A column with its role, type and encoding."""

    name: str
    role: Role
    kind: Kind
    action: str
    count: int
    missing: int
    low: float | None = None  # of numbers, or of dates in days since 1970
    high: float | None = None
    values: dict[str, int] = field(default_factory=dict)  # {value: count} of the most frequent ones
    distinct: int | None = None  # None: too many to count
    decimal: str | None = None
    form: str | None = None  # format of dates
    faulty: bool = False  # holds values of another type, or infinite ones
    signs: bool = False  # texts without a letter or digit (?, -) are missing
    scale: tuple[str, ...] = ()  # values of an ordinal column, from low to high
    numeric: bool = False  # categories written as numbers: 1 and 1.0 are the same

    @property
    def real(self) -> bool:
        """True if its values are encoded as numbers."""
        return self.kind in ("number", "date", "boolean")

    def read(self, series: pd.Series, missing: Sequence[str]) -> np.ndarray:
        """Return the values of some rows, NaN where missing: float64 [N], or texts [N] for categories."""
        values = Values(series, missing)
        if self.real:
            array = values.array if values.type != "text" else self._numbers(values)
            return np.where(values.missing, np.nan, array.astype(np.float64))
        written = values.array if values.whole is None else values.whole
        texts = [_written(v) if self.numeric or values.type == "number" else str(v) for v in written]
        categories = np.asarray(texts, dtype=object)
        categories[values.missing] = np.nan
        return categories

    def _numbers(self, values: Values) -> np.ndarray:
        present = values.array[~values.missing]
        array = np.full(len(values.array), np.nan)
        if self.kind == "boolean":
            parsed = np.asarray([truth(text) for text in present], dtype=np.float64)
        elif self.kind == "date":
            parsed = dates(present, self.form or "ISO8601")
        else:
            parsed = numbers(present, self.decimal or ".")
        array[~values.missing] = parsed
        return array

    def bad(self, series: pd.Series, missing: Sequence[str]) -> dict[int, str]:
        """Return {row: expected value} for values that cannot be used: of another type, or infinite."""
        if not self.real:
            return {}
        array, values = self.read(series, missing), Values(series, missing)
        wrong = np.flatnonzero(~np.isfinite(array) & ~values.missing)
        expected = {"number": "a number", "date": "a date", "boolean": "yes or no"}[self.kind]
        return {
            int(i): "a finite number" if np.isinf(array[i]) else expected
            for i in wrong
            if not (self.signs and is_sign(str(values.array[i])))
        }


def _written(value: Any) -> str:
    """Write a category that is a number: 1 and 1.0 alike, and different integers differently."""
    if re.fullmatch(r"[+-]?\d+", str(value)):
        return str(int(value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return str(int(number)) if abs(number) < EXACT and number == int(number) else str(value)


@dataclass(frozen=True)
class Plan:
    """All columns of a table, in order, and its number of rows."""

    columns: tuple[Column, ...]
    rows: int
    missing: tuple[str, ...]
    remarks: tuple[str, ...] = ()  # for the user, on values that may have been misread

    @property
    def inputs(self) -> list[Column]:
        """The columns to train on."""
        return [c for c in self.columns if c.role == "input"]

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return next(c for c in self.columns if c.name == name)

    @property
    def left_out(self) -> dict[str, str]:
        """{column: why} for those that were left out and not by the user."""
        return {c.name: c.action for c in self.columns if c.role == "left out" and c.action not in _REQUESTED}


def named_columns(choice: Choice) -> dict[str, Sequence[str]]:
    """Return {setting: the columns that it names}."""
    return {
        "inputs": choice.inputs, "drop": choice.drop, "categories": choice.categories, "ordinal": list(choice.orders),
        "group": [choice.group] if choice.group else [], "order": [choice.order] if choice.order else [],
    }  # fmt: skip


def make_plan(table: Table, choice: Choice, rows: int | None = None) -> Plan:
    """Read all values of a table, `rows` at a time, and decide how each column is used.

    Raises:
        HarnessError: If named columns do not exist, or nothing is left to train on.
    """
    columns = table.columns
    check_columns(table, choice.target, named_columns(choice))
    if choice.target and choice.target in (*choice.inputs, *choice.drop):
        raise HarnessError(f"data.inputs and data.drop cannot name the target, {choice.target!r}")
    seen = {name: ColumnProfile(name, choice.missing, len(columns)) for name in columns}
    for frame in table.frames(rows):
        for name in columns:
            seen[name].update(frame[name])
    total = seen[columns[0]].count
    if not total:
        raise HarnessError(f"{table.file} has no rows under its header")
    usual = _usual_decimal(seen.values(), choice)
    made = [_column(seen[name], choice, usual) for name in columns]
    made = [c for c in made if not (c.kind == "empty" and c.name.startswith("Unnamed: "))]
    remarks = [*table.remarks, *(text for c in made if c.role != "left out" for text in _remarks(seen[c.name], c))]
    plan = Plan(tuple(made), total, tuple(choice.missing), tuple(remarks))
    if choice.target and not plan.inputs:
        why = ", ".join(f"{c.name} ({c.action})" for c in made if c.role == "left out")
        raise HarnessError(f"{table.file} has no column to learn from: {why}; data.inputs=[...] uses one of them")
    return plan


def _remarks(seen: ColumnProfile, column: Column) -> Iterator[str]:
    """Yield remarks for the user on how a column was read."""
    name = column.name
    forms = (column.form or "").split(OR) if column.kind == "date" else []
    for form in forms:
        if (twin := other_order(form)) is not None and not (seen.only.get(form) or seen.only.get(twin[0])):
            yield f"the dates of {name!r} are read as {twin[1]}, and may be {twin[2]}: write them as 2024-12-31"
    if len(forms) > 1:
        yield f"the dates of {name!r} are written in several ways, and each is read in its own: {' and '.join(forms)}"
    error = _rounding(column) if column.role == "input" and column.kind == "number" else 0.0
    if column.low is not None and column.high is not None and error > (column.high - column.low) / 1000:
        yield (
            f"the numbers of {name!r} are so large that float64 rounds them by up to {error:g}: subtract a constant, "
            f"or set data.categories=[{name}] or data.drop=[{name}] if they are names"
        )


def _rounding(column: Column) -> float:
    """Return the largest error of float64 for a column's numbers; 0 where it holds all whole numbers of their size."""
    large = max(abs(column.low or 0.0), abs(column.high or 0.0))
    return float(np.spacing(large)) / 2 if large >= EXACT else 0.0


def _usual_decimal(seen: Iterable[ColumnProfile], choice: Choice) -> str:
    """Return the decimal mark of a file: a comma if some column can only be read with it."""
    if choice.decimal != "auto":
        return choice.decimal
    return "," if any(s.types == {"text"} and s.bad["."] and not s.bad[","] for s in seen) else "."


def _column(seen: ColumnProfile, choice: Choice, usual: str) -> Column:
    name = seen.name
    explicit = name in choice.inputs or name in choice.categories or name in choice.orders
    kind, more = _kind(seen, choice, usual)
    order = choice.orders.get(name)
    shared = {"name": name, "count": seen.count, "missing": seen.missing, **more}

    def made(role: Role, action: str, kind: Kind = kind, **extra: Any) -> Column:
        return Column(role=role, kind=kind, action=action, **shared, **extra)

    if name == choice.target:
        return made("target", "predicted")
    if name in choice.drop:
        return made("left out", "data.drop")
    if name == choice.group and name not in choice.inputs:
        return made("group", "its rows stand in one split")
    if name == choice.order and name not in choice.inputs:
        return made("order", "splits follow each other in this order")
    if choice.inputs and name not in choice.inputs:
        return made("left out", "not in data.inputs")
    if kind == "empty":
        return made("left out", "no value")
    if kind == "other":
        return made("left out", "neither numbers nor texts")
    if seen.orders is not None and seen.form is None and name not in choice.categories:
        raise HarnessError(
            f"column {name!r} mixes dates as {' and as '.join(seen.orders)}, which cannot be told apart: write them as "
            f"2024-12-31, or say data.drop=[{name}]"
        )
    if order is not None and not seen.overflows:
        return _ordinal(seen, made, order)
    if not explicit:
        if kind == "constant":
            return made("left out", "one value only")
        if kind == "id":
            return made("left out", _why_id(seen))
        if kind == "text":
            return made(
                "left out", "text" if seen.unique or seen.overflows else f"text, {len(seen.distinct)} different"
            )
    elif kind in ("id", "constant", "text"):
        kind = "number" if more["decimal"] and name not in choice.categories else "category"
    if kind == "category" and seen.overflows:
        raise HarnessError(f"column {name!r} has more than {seen.most:,} different values: too many for one-hot")
    gaps = "; missing: {}, with an indicator" if seen.missing or more["signs"] else ""
    if kind == "category":
        return made("input", f"one-hot, {len(seen.distinct)}{gaps.format('most frequent')}", kind=kind)
    action = {"number": "number", "boolean": "0 or 1", "date": "days since 1970"}[kind]
    return made("input", action + gaps.format("median"), kind=kind)


def _why_id(seen: ColumnProfile) -> str:
    return "row number" if seen.counting is not None or seen.name in UNNAMED else "id, each value once"


def _kind(seen: ColumnProfile, choice: Choice, usual: str) -> tuple[Kind, dict[str, Any]]:
    """Return the type of a column, and the fields of Column that depend on it."""
    decimal, form = seen.decimal(choice.decimal, usual), seen.form
    bad = seen.bad[decimal] if decimal and seen.types == {"text"} else 0
    few = not seen.overflows and len(seen.distinct) <= 20
    if bad > 1 and few and bad > seen.signs:  # 0, 1, 2, 3+
        decimal = None
    more: dict[str, Any] = {
        "distinct": None if seen.overflows else len(seen.distinct),
        "values": {str(v): n for v, n in sorted(seen.distinct.items(), key=lambda row: -row[1])[:100]},
        "decimal": decimal,
        "form": form,
        "signs": bool(decimal and seen.signs and seen.types == {"text"}),
        "low": None,
        "high": None,
        "faulty": bool(bad > seen.signs or seen.infinite),
        "numeric": seen.types == {"number"} or decimal is not None,
    }
    if not seen.present:
        return "empty", more
    if len(seen.types) > 1 or seen.types == {"other"}:
        return "other", more
    dated = form is not None and (decimal is None or (form == "%Y%m%d" and seen.present >= 10 and seen.whole))
    at = form if dated else decimal
    if dated and form in (seen.forms or {}):
        more["faulty"] = bool((seen.forms or {})[form])
    ranges = [seen.range[one] for one in (at or "").split(OR) if one in seen.range]
    if ranges:
        more["low"], more["high"] = min(low for low, _ in ranges), max(high for _, high in ranges)
    if seen.name in choice.categories or seen.named:
        return "category", more
    if not seen.overflows and len(seen.distinct) == 1 and not seen.missing:
        return "constant", more
    if seen.name in UNNAMED:
        return "id", more
    if seen.counting is not None and seen.count >= 10:
        return "id", more
    named = bool(_ID.fullmatch(seen.name) and (not re.fullmatch(r".*[a-z]id", seen.name) or "_" in seen.name))
    named = named or seen.name.lower() in ("id", "uuid", "guid") or bool(_ID_CASE.fullmatch(seen.name))
    if seen.unique and seen.count >= 10 and named and not dated and (decimal is None or seen.whole):
        return "id", more
    if dated:
        return "date", more
    if decimal is not None:
        return "number", more
    if seen.truths:
        return "boolean", more
    if seen.unique and seen.present >= 10:
        return ("id" if seen.length / seen.present <= 40 and _one_word(seen) else "text"), more
    distinct = len(seen.distinct)
    many = distinct > CATEGORIES or (distinct > 20 and 2 * distinct > seen.present)
    if seen.overflows or many or (distinct > 20 and seen.length / seen.present > 50):
        return "text", more
    return "category", more


def _one_word(seen: ColumnProfile) -> bool:
    return not any(" " in str(value) for value in seen.distinct)


def _ordinal(seen: ColumnProfile, made: Any, order: tuple[str, ...]) -> Column:
    values = [_written(v) for v in seen.distinct] if seen.types == {"number"} else [str(v) for v in seen.distinct]
    if order and (lost := [v for v in values if v not in order]):
        raise HarnessError(f"data.ordinal: the order of {seen.name!r} lacks {', '.join(map(repr, lost[:5]))}")
    scale = order or _scale(values)
    gaps = "; missing: median, with an indicator" if seen.missing else ""
    return made("input", f"ordinal, {' < '.join(scale[:8])}{gaps}", kind="category", scale=tuple(scale))


def _scale(values: Sequence[str]) -> list[str]:
    """Sort values from low to high: by their numbers, by a known scale, or as texts."""
    found = [re.search(r"\d+(\.\d+)?", value) for value in values]
    if all(found):
        return sorted(values, key=lambda value: float(re.search(r"\d+(\.\d+)?", value)[0]))  # type: ignore[index]
    for scale in _SCALES:
        if all(value.casefold() in scale for value in values):
            return sorted(values, key=lambda value: scale.index(value.casefold()))
    return sorted(values)


def check_values(table: Table, plan: Plan, choice: Choice, rows: int | None = None) -> None:
    """Raise HarnessError with the places of all values that cannot be used, in the columns that are used."""
    suspects = [c for c in plan.columns if c.role != "left out" and (c.faulty or (c.role != "input" and c.missing))]
    if choice.kind == "real" and choice.target:
        suspects = list({c.name: c for c in [*suspects, plan.column(choice.target)]}.values())
    if not suspects:
        return
    faults: list[Fault] = []
    more = at = 0
    for frame in table.frames(rows):
        found: list[Fault] = []
        for column in suspects:
            series = frame[column.name]
            if column.role != "input":
                absent = Values(series, plan.missing).missing
                fix = _fix_missing(series, absent)
                found += [Fault(at + int(i), column.name, "a value", fix) for i in np.flatnonzero(absent)]
            if column.role == "target" and choice.kind == "real" and not column.real:
                wrong = dict.fromkeys(np.flatnonzero(~Values(series, plan.missing).missing).tolist(), "a number")
            elif column.role == "target" and choice.kind == "class":
                wrong = {}  # any words
            else:
                wrong = column.bad(series, plan.missing)
            fix = "" if column.role != "input" or set(wrong.values()) == {"a finite number"} else _fix_type(column)
            found += [Fault(at + i, column.name, expected, fix) for i, expected in wrong.items()]
        found.sort(key=lambda fault: fault.row)
        more += max(0, len(faults) + len(found) - FAULTS)
        faults = (faults + found)[:FAULTS]
        at += len(frame)
    if faults:
        raise table.refuse(faults, more)


def _fix_missing(series: pd.Series, absent: np.ndarray) -> str:
    words = {str(v) for v in series[absent] if isinstance(v, str) and v}
    return f"{min(words)!r} is read as missing: data.missing=[] takes it as a value" if words else ""


def _fix_type(column: Column) -> str:
    name = column.name
    return f"data.missing=[...] names words for missing values, data.categories=[{name}] takes {name!r} as words"


def range_of(column: Column) -> str:
    """Return the range of a column, or its most frequent values, as text."""
    if column.low is not None and column.kind in ("number", "date", "id"):
        shown = written_date if column.kind == "date" else lambda value: f"{value:.12g}"
        return f"{shown(column.low)} .. {shown(column.high or 0.0)}"
    if column.kind in ("id", "text"):
        return "many" if column.distinct is None else f"{column.distinct:,} different"
    most = list(column.values)[:4]
    more = "" if column.distinct is not None and column.distinct <= len(most) else ", ..."
    return ", ".join(value if len(value) <= 24 else value[:23] + "…" for value in most) + more
