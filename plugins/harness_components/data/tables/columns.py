"""The type of a column, inferred from all of its values, some rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness_components.data.tables.values import DATES, OR, dates, days, is_date_like, numbers, other_order

Kind = Literal["number", "category", "date", "boolean", "id", "constant", "text", "empty", "other"]
DISTINCT = 10_000  # largest number of different values of a column that are counted
ALL_DISTINCT = 1 << 18  # the same of all columns together: fewer of each in a wide table
CATEGORIES = 255  # largest number of different texts in a column of categories
EXACT = 2.0**53  # float64 represents all smaller integers exactly
UNIQUE = 1_000_000  # largest number of rows in which values are checked to be unique
_TRUTHS = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"예", "아니오"}, {"참", "거짓"}, {"o", "x"})
_NO_SCALARS = (list, tuple, set, dict, bytes, np.ndarray)
_TRUE = {"true", "yes", "y", "t", "예", "참", "o"}


class Values:
    """Some rows of a column, as float64 for numbers and dates or as texts; `missing` marks rows without a value."""

    def __init__(self, series: pd.Series, missing: Collection[str]) -> None:
        self.type: Literal["number", "date", "text", "other"] = "text"
        self.whole: np.ndarray | None = None  # integers that float64 would round, as Python's own, [N]
        self.named = isinstance(series.dtype, pd.CategoricalDtype)  # declared as categories by the file
        if isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype(series.dtype.categories.dtype)
        if pd.api.types.is_timedelta64_dtype(series.dtype):
            series = series.dt.total_seconds()
        if series.dtype == object:
            series = _plain(series)
        if pd.api.types.is_bool_dtype(series.dtype):
            series = series.astype(object).where(series.notna(), None)
        if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
            self.type = "number"
            self.array = series.to_numpy(dtype=np.float64, na_value=np.nan).copy()
            codes = numbers([word for word in missing if word], ".")
            self.array[np.isin(self.array, codes[~np.isnan(codes)])] = np.nan
            self.missing = np.isnan(self.array)
            if pd.api.types.is_integer_dtype(series.dtype) and bool((np.abs(self.array) >= EXACT).any()):
                self.whole = np.asarray([None if pd.isna(value) else int(value) for value in series], dtype=object)
        elif pd.api.types.is_datetime64_any_dtype(series.dtype):
            self.type = "date"
            self.array = days(series)
            self.missing = np.isnan(self.array)
        elif not (series.dtype == object and any(isinstance(v, _NO_SCALARS) for v in series)):
            absent = series.isna().to_numpy()
            texts = series.astype(str).str.strip()
            self.missing = absent | texts.isin(["", *missing]).to_numpy()
            self.array = texts.to_numpy(dtype=object)
        else:
            self.type = "other"
            self.missing = series.isna().to_numpy()
            self.array = series.to_numpy(dtype=object)


def _plain(series: pd.Series) -> pd.Series:
    """Convert a column of Python objects to the type that all of them have."""
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind in ("decimal", "integer", "floating", "mixed-integer-float"):
        return series.astype(np.float64)
    if kind in ("date", "datetime", "datetime64"):
        return pd.to_datetime(series, utc=True)
    return series


class ColumnProfile:
    """Statistics of a column: number of values, different values, and possible types."""

    def __init__(self, name: str, missing: Collection[str], columns: int = 1) -> None:
        self.name, self._words = name, missing
        self.most = max(CATEGORIES, min(DISTINCT, ALL_DISTINCT // columns))  # different values that are counted
        self.count = self.missing = 0
        self.distinct: dict[Any, int] = {}
        self.overflows = False
        self.types: set[str] = set()
        self.named = False  # declared as categories by the file
        self.bad = {".": 0, ",": 0}  # number of values that are not numbers, for each decimal mark
        self.signs = 0  # those of them without a letter or a digit: ?, -
        self.infinite = 0
        self.range: dict[str, tuple[float, float]] = {}  # (lowest, highest) by decimal mark or date format
        self.whole = True
        self.forms: dict[str, int] | None = None  # {date format: number of values in another format}
        self.only: dict[
            str, int
        ] = {}  # {date format: number of values that another order of day and month cannot read}
        self.undated = 0  # number of values that none of these formats reads
        self._texts_seen = 0
        self.length = 0  # characters in all texts
        self.counting: int | None = None  # first number, if the values number the rows
        self._hashes: set[int] | None = set()

    def update(self, series: pd.Series) -> None:
        """Add further rows."""
        values = Values(series, self._words)
        present = values.array[~values.missing]
        self.named |= values.named
        if len(present):
            self.types.add(values.type)
        if values.type in ("number", "text"):
            self._counting(values, present)
        self.count += len(values.array)
        self.missing += int(values.missing.sum())
        if values.type == "other" or not len(present):
            return
        found, counts = np.unique(present, return_counts=True) if values.type != "text" else _counted(present)
        self._keep(*(_counted(values.whole[~values.missing]) if values.whole is not None else (found, counts)))
        if values.type == "text":
            self._texts(found, counts)
        else:
            form = "." if values.type == "number" else "ISO8601"
            self._see_range(form, found)
            self.whole &= bool((found == np.floor(found)).all())
            self.infinite += int(counts[np.isinf(found)].sum())
            if values.type == "date" or not self.whole:
                self._hashes = None  # no id: only whole numbers and texts are

    def _keep(self, found: np.ndarray, counts: np.ndarray) -> None:
        if not self.overflows:
            for value, n in islice(zip(found.tolist(), counts.tolist(), strict=True), self.most + 1):
                self.distinct[value] = self.distinct.get(value, 0) + n
            if len(self.distinct) > self.most:
                self.overflows = True
                self.distinct = dict(islice(self.distinct.items(), CATEGORIES))
        if self._hashes is None or self.count > UNIQUE:
            return
        before = len(self._hashes)
        if len(found) == int(counts.sum()):
            self._hashes.update(map(hash, found.tolist()))
        if len(self._hashes) < before + int(counts.sum()):
            self._hashes = None

    def _counting(self, values: Values, present: np.ndarray) -> None:
        """Track whether the values number the rows, from 0 or 1."""
        if (self.counting is None and self.count) or values.missing.any() or not len(present):
            self.counting = None
            return
        first = self._number(values, present[:1])[0] if self.counting is None else self.counting + self.count
        if self.count == 0 and first not in (0, 1):
            return
        if np.array_equal(self._number(values, present), first + np.arange(len(present))):
            self.counting = int(first) if self.count == 0 else self.counting
        else:
            self.counting = None

    def _number(self, values: Values, present: np.ndarray) -> np.ndarray:
        return present if values.type == "number" else numbers(present, ".")

    def _texts(self, found: np.ndarray, counts: np.ndarray) -> None:
        self.length += int(sum(len(text) * n for text, n in zip(found.tolist(), counts.tolist(), strict=True)))
        parsed = numbers(found, ".")
        wrong = np.isnan(parsed)
        self.bad["."] += int(counts[wrong].sum())
        self.signs += int(sum(n for text, n in zip(found[wrong], counts[wrong], strict=True) if is_sign(text)))
        self.infinite += int(counts[np.isinf(parsed)].sum())
        self.whole &= bool((parsed[~wrong] == np.floor(parsed[~wrong])).all())
        self._see_range(".", parsed)
        sample = found[:20]
        if any("." in text or "," in text for text in found[~wrong]) or wrong.any():
            # what ends in three digits behind a mark may be grouped: 1.234
            parsed = numbers(found, ",") if wrong.any() or not np.isnan(numbers(sample, ",")).any() else parsed * np.nan
        self.bad[","] += int(counts[np.isnan(parsed)].sum())
        self._see_range(",", parsed)
        self._dates(found, counts)

    def _dates(self, found: np.ndarray, counts: np.ndarray) -> None:
        """Count the values that each form of dates reads. A form that is first met here has read none before."""
        if self.forms is None:
            sample = found[:: max(1, len(found) // 20)].tolist()
            likely = [text for text in sample if is_date_like(text)]
            self.forms = {}
            self._add_forms(likely if 2 * len(likely) >= len(sample) else [])
        unread = self._read(self.forms, found, counts)
        if unread.any() and self.forms and not self.undated:
            new = self._add_forms(found[unread][:20].tolist())
            unread &= self._read(new, found, counts)
        self.undated += int(counts[unread].sum())
        self._texts_seen += int(counts.sum())

    def _add_forms(self, texts: list[str]) -> list[str]:
        """Add the forms that read one of some texts, each with that of the other order of day and month."""
        assert self.forms is not None
        found = {form for form in DATES if texts and np.isfinite(dates(texts, form)).any()}
        found |= {twin[0] for form in found if (twin := other_order(form)) is not None}
        new = [form for form in DATES if form in found and form not in self.forms]
        self.forms |= dict.fromkeys(new, self._texts_seen)
        self.only |= dict.fromkeys(new, 0)
        return new

    def _read(self, forms: Iterable[str], found: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Note what some forms read, and return which of the texts none of them does."""
        assert self.forms is not None
        missed: dict[str, np.ndarray] = {}
        for form in forms:
            parsed = dates(found, form)
            missed[form] = np.isnan(parsed)
            self.forms[form] += int(counts[missed[form]].sum())
            self._see_range(form, parsed)
        for form, wrong in missed.items():
            twin = other_order(form)
            self.only[form] += int(counts[~wrong if twin is None else ~wrong & missed[twin[0]]].sum())
        return np.logical_and.reduce([*missed.values(), np.ones(len(found), bool)])

    def _see_range(self, form: str, found: np.ndarray) -> None:
        finite = found[np.isfinite(found)]
        if len(finite):
            low, high = self.range.get(form, (np.inf, -np.inf))
            self.range[form] = min(low, float(finite.min())), max(high, float(finite.max()))

    @property
    def present(self) -> int:
        """Number of values that are not missing."""
        return self.count - self.missing

    @property
    def unique(self) -> bool:
        """True if all values differ."""
        return self._hashes is not None and self.present > 1

    @property
    def truths(self) -> bool:
        """True if the values are two opposite words, such as yes and no."""
        return len(self.distinct) == 2 and {str(v).casefold() for v in self.distinct} in _TRUTHS

    def tolerated(self, bad: int) -> bool:
        """True if so few values differ in type from the others that they are mistakes or words for missing values."""
        return bad <= max(1, self.present // 10) and self.present > bad

    def decimal(self, said: str, usual: str) -> str | None:
        """The decimal mark of a column of numbers; None where it holds none."""
        if self.types == {"number"}:
            return "."
        if self.types != {"text"}:
            return None
        marks = [said] if said != "auto" else [usual, {".": ",", ",": "."}[usual]]
        return next(
            (m for m in marks if not self.bad[m]), next((m for m in marks if self.tolerated(self.bad[m])), None)
        )

    @property
    def form(self) -> str | None:
        """The format of a column of dates, or several that together read all values; None if it holds no dates."""
        if self.types == {"date"}:
            return "ISO8601"
        if self.types != {"text"} or not self.forms:
            return None
        best = min(self.forms, key=lambda form: (self.forms or {})[form])
        if self.forms[best] and len(several := self._several()) > 1 and not self.undated:
            return OR.join(several)
        return best if self.tolerated(self.forms[best]) else None

    def _several(self) -> list[str]:
        """The forms of dates with a year that read anything; of two orders of day and month the one that reads more."""
        forms, kept = self.forms or {}, []
        for form in sorted(forms, key=DATES.index):
            twin = other_order(form)
            second = twin is not None and (forms[twin[0]], DATES.index(twin[0])) < (forms[form], DATES.index(form))
            if forms[form] < self._texts_seen and not second:
                kept.append(form)
        return kept if all("%Y" in form or form == "ISO8601" for form in kept) else []

    @property
    def orders(self) -> tuple[str, str] | None:
        """Two forms with day and month exchanged, where each reads some dates that the other does not."""
        if self.undated or self.types != {"text"}:
            return None
        twins = ((form, twin[0]) for form in self.forms or () if (twin := other_order(form)) is not None)
        return next((pair for pair in twins if all(self.only[form] for form in pair)), None)


def is_sign(text: str) -> bool:
    """Return True if a text has no letter and no digit: ?, -, *."""
    return not any(c.isalnum() for c in text)


def _counted(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = pd.Series(texts, dtype=object).value_counts(sort=False)
    return np.asarray(counts.index, dtype=object), counts.to_numpy()


def truth(text: str) -> float:
    """Return 1 for yes, 0 for no in several languages, and NaN for any other word.

    >>> truth("Yes"), truth("no"), truth("perhaps")
    (1.0, 0.0, nan)
    """
    word = str(text).casefold()
    return 1.0 if word in _TRUE else 0.0 if any(word in pair for pair in _TRUTHS) else np.nan
