"""Parse texts as numbers and dates."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

# A sign, digits (grouped by three or not), decimals, an exponent; with a currency or percent sign around it
_SIGNS = r"[$€£¥₩]?\s*(?P<number>[+\-\u2212]?{whole}(?:{decimal}\d*)?(?:[eE][+-]?\d+)?)\s*[%€£¥₩원]?"
_WHOLE = r"(?:[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|\d+)"
_GROUPS = {".": ",", ",": "."}  # {decimal mark: mark between groups of three digits}
_SPACES = " '\u00a0\u2009\u202f\u2019"  # spaces and apostrophes, which may stand between groups too
_CODE = re.compile(r"[+-]?0\d+")  # 00123: a code, whose leading zeros a number would lose
_DATE = re.compile(r"(19|20)\d{6}")

DATES = (
    "ISO8601", "%Y/%m/%d", "%Y.%m.%d", "%Y. %m. %d.", "%Y. %m. %d", "%Y년 %m월 %d일", "%Y%m%d", "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d %H:%M:%S", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y",
    "%d-%m-%Y %H:%M", "%d-%m-%Y %H:%M:%S", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y/%m",
    "%Y.%m", "%Y년 %m월", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%H:%M", "%H:%M:%S",
)  # fmt: skip
OR = "|"  # between the formats of a column that is written in several
_READ = {"%m/%d": "month/day", "%d/%m": "day/month"}  # formats that differ in nothing else
_EPOCH = np.datetime64("1970-01-01", "ns")
_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "ns")


@functools.cache
def _pattern(decimal: str) -> re.Pattern[str]:
    whole = _WHOLE.format(mark=f"[{re.escape(_GROUPS[decimal])}{_SPACES}]")
    return re.compile(_SIGNS.format(whole=whole, decimal=re.escape(decimal)))


def numbers(texts: Iterable[str], decimal: str) -> np.ndarray:
    """Parse texts as float64 [N]; NaN for those that are not numbers, and for codes with leading zeros.

    >>> numbers(["1,234.5", "7%", "-1e3", "007", "x"], ".")
    array([ 1234.5,     7. , -1000. ,     nan,     nan])
    >>> numbers(["1.234,5", "0,25", "1 234,5"], ",")
    array([1.2345e+03, 2.5000e-01, 1.2345e+03])
    """
    array = np.asarray(texts, dtype=object)
    found = np.full(len(array), np.nan)
    if decimal == "." and not _all_plain(array, found):
        plain = ~np.isnan(np.asarray(pd.to_numeric(pd.Series(array, dtype=object), errors="coerce"), dtype=np.float64))
        found[plain] = array[plain].astype(np.float64)  # parsed by Python: exact to the last bit
    pattern = _pattern(decimal)
    marks = str.maketrans({_GROUPS[decimal]: "", decimal: ".", "\u2212": "-", **dict.fromkeys(_SPACES, "")})
    for place in np.flatnonzero(np.isnan(found)):
        if match := pattern.fullmatch(array[place]):
            found[place] = float(match["number"].translate(marks))
    for place in np.flatnonzero(found == np.floor(found)):
        if len(array[place]) > 1 and array[place][0] in "0+-" and _CODE.fullmatch(array[place]):
            found[place] = np.nan
    return found


def _all_plain(array: np.ndarray, found: np.ndarray) -> bool:
    """Parse all texts into `found` by Python; return False if one is no number, or holds the underscore of 2020_21."""
    try:
        found[:] = array.astype(np.float64)
    except ValueError:
        found[:] = np.nan
        return False
    if any("_" in text for text in array):
        found[:] = np.nan
        return False
    return True


def is_date_like(text: str) -> bool:
    """Return True if a text may be a date: digits with a mark between them, or a date of eight digits."""
    if not 4 <= len(text) <= 40 or _pattern(".").fullmatch(text):
        return bool(_DATE.fullmatch(text))
    return bool(re.search(r"\d\D", text))


def other_order(form: str) -> tuple[str, str, str] | None:
    """Return the date format with day and month exchanged, and the names of both orders; None if it has no such twin.

    >>> other_order("%d/%m/%y"), other_order("%Y-%m")
    (('%m/%d/%y', 'day/month', 'month/day'), None)
    """
    order = next((start for start in _READ if form.startswith(start)), None)
    if order is None:
        return None
    other = next(start for start in _READ if start != order)
    return form.replace(order, other), _READ[order], _READ[other]


def dates(texts: Iterable[str], form: str) -> np.ndarray:
    """Parse texts as days since 1970, float64 [N]; NaN for those that are not in this format.

    Of several forms, divided by `OR`, the first that reads a text counts.

    >>> dates(["1970-01-02 12:00", "x", "03.01.1970"], "ISO8601|%d.%m.%Y")
    array([1.5, nan, 2. ])
    """
    series = pd.Series(np.asarray(texts, dtype=object), dtype=object)
    found = np.full(len(series), np.nan)
    for one in form.split(OR):
        parsed = days(pd.to_datetime(series, format=one, errors="coerce", utc=True))
        found = np.where(np.isnan(found), parsed, found)
    return found


def days(moments: pd.Series) -> np.ndarray:
    """Convert timestamps to days since 1970, float64 [N]; NaN where missing."""
    if getattr(moments.dt, "tz", None) is not None:
        moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    values = moments.to_numpy(dtype="datetime64[ns]")
    found = (values - _EPOCH).astype(np.float64) / _DAY
    found[np.isnat(values)] = np.nan
    return found


def written_date(day: float) -> str:
    """Format a day since 1970.

    >>> written_date(19723.5)
    '2024-01-01 12:00:00'
    """
    moment = pd.Timestamp(0) + pd.Timedelta(days=day)
    return str(moment.date()) if moment == moment.normalize() else str(moment.floor("s"))
