"""Tables in files, read some rows at a time, and the places of values in them for messages on faults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness import HarnessError, suggest

FAULTS = 10  # largest number of faults in one message
_WHOLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}  # without these, pandas reads integers with missing values as floats
UNNAMED = ("Unnamed: 0", "__index_level_0__")  # pandas' names for an index without a name


@dataclass(frozen=True)
class Fault:
    """A value that cannot be used: its row, from 0, and its column."""

    row: int
    column: str
    expected: str
    fix: str = ""


class Table:
    """A table and the file that it comes from."""

    repeated: tuple[str, ...] = ()  # names of several columns
    words = False  # True if every value is text, and its type must be inferred

    def __init__(self, file: Path) -> None:
        self.file = file

    def like(self, file: Path) -> Table:
        """Return another file as a table, to be read in the same way."""
        return type(self)(file)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, in order."""
        raise NotImplementedError

    @property
    def remarks(self) -> list[str]:
        """Remarks for the user on how the file was read."""
        if not (self.words and looks_like_values([*self.columns, *self.repeated])):
            return []
        shown = ", ".join(self.columns[:4]) + (", ..." if len(self.columns) > 4 else "")
        return [
            f"{self.file}: the first line was read as names ({shown}); if it is a row, add a line with names above it"
        ]

    @property
    def about(self) -> dict[str, str]:
        """The way the file is read: encoding, separator."""
        return {}

    def frames(self, rows: int | None = None, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the table `rows` rows at a time, or all at once, optionally of some columns."""
        raise NotImplementedError

    def places(self, rows: Iterable[int]) -> dict[int, tuple[str, dict[str, str]]]:
        """Return the place of each row for messages, and its values as they are written."""
        requested, start = set(rows), 0
        places: dict[int, tuple[str, dict[str, str]]] = {}
        for frame in self.frames(10_000):
            for row in sorted(r for r in requested if start <= r < start + len(frame)):
                values = {str(c): frame[c].iloc[row - start] for c in frame}
                places[row] = f"row {row + 1}", {c: "" if _is_null(v) else str(v) for c, v in values.items()}
            start += len(frame)
        return places

    def refuse(self, faults: Sequence[Fault], more: int = 0) -> HarnessError:
        """Return an error with the place of every fault; `more` faults are only counted."""
        places = self.places(fault.row for fault in faults)
        lines = []
        for fault in faults:
            place, values = places.get(fault.row, (f"row {fault.row + 1}", {}))
            got = repr(values[fault.column]) if values.get(fault.column) else "nothing"
            lines.append(f"{place}, column {fault.column!r}: expected {fault.expected}, got {got}")
        fixes = list(dict.fromkeys(fault.fix for fault in faults if fault.fix))
        return HarnessError(all_faults(self.file, lines, more) + "".join(f"; {fix}" for fix in fixes))


def all_faults(file: Path, lines: Sequence[str], more: int = 0) -> str:
    """Join the faults of a file into one line."""
    rest = f"; and {more:,} more" if more > 0 else ""
    return f"{file}, {'; '.join(lines)}{rest}"


def _is_null(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


class ParquetTable(Table):
    """A table in a Parquet file. A named index that pandas stored is a column too."""

    @property
    def columns(self) -> list[str]:
        with self._opened() as opened:
            return list(opened.schema_arrow.names)

    def _opened(self) -> Any:
        try:
            # buffered: reads a page of each column at a time, even if the file is a single row group
            return pq.ParquetFile(self.file, buffer_size=1 << 16, pre_buffer=False)
        except Exception as error:  # pyarrow raises many kinds, none of them public
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> HarnessError:
        reason = " ".join(str(error).split()).partition(f"'{self.file}': ")
        return HarnessError(f"{self.file} is not a readable Parquet file: {reason[2] or reason[0]}")

    def frames(self, rows: int | None = None, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        requested = None if columns is None else list(columns)
        with self._opened() as opened:
            try:
                if rows is None:
                    batches: Iterable[Any] = [opened.read(columns=requested)]
                else:
                    batches = (pa.Table.from_batches([b]) for b in opened.iter_batches(rows, columns=requested))
                named = _named(opened.schema_arrow.pandas_metadata or {})
                for batch in batches:
                    frame = batch.to_pandas(ignore_metadata=True, date_as_object=False, types_mapper=_WHOLE.get)
                    frame = frame.astype(dict.fromkeys(named.intersection(frame), "category"))
                    yield frame if requested is None else frame[requested]
            except Exception as error:
                raise self._unreadable(error) from error


def _named(metadata: dict[str, Any]) -> set[str]:
    """Return the columns that pandas stored as categories: of numeric ones the file itself keeps only the numbers."""
    return {c["field_name"] for c in metadata.get("columns", ()) if c.get("pandas_type") == "categorical"}


def check_columns(table: Table, target: str, named: dict[str, Sequence[str]]) -> None:
    """Raise HarnessError if a table lacks a named column, listing all that are missing.

    Args:
        table: the table.
        target: column to predict; "" for none.
        named: {setting: columns that it names}.
    """
    columns = table.columns
    used = {target, *(name for names in named.values() for name in names)}
    if repeated := sorted(used.intersection(table.repeated)):
        raise HarnessError(f"{table.file}: two columns are named {repeated[0]!r}; rename one of them")
    wrong = []
    for setting, names in {"target": [target] if target else [], **named}.items():
        for name in names:
            if name not in columns:
                where = "" if setting == "target" else f" (data.{setting})"
                wrong.append(f"no column {name!r}{where}.{suggest(name, columns)}")
    if wrong:
        hint = " The header was read as one name: set data.separator=..." if _is_one_name(columns) else ""
        if table.words and 2 * sum(_is_number(name) for name in columns) > len(columns):
            hint = " The first line looks like values: add a header line with names above it"
        raise HarnessError(f"{table.file} has {' '.join(wrong)}{hint}")
    if target and len(columns) < 2:
        raise HarnessError(f"{table.file} has no column beside {target!r}: nothing to learn from")


def looks_like_values(names: Sequence[str]) -> bool:
    """Return True if most names are numbers, and not years or places: those are integers, and increase.

    >>> looks_like_values(["5.1", "3.5", "setosa"]), looks_like_values(["y", "2019", "2020"])
    (True, False)
    """
    values = [float(name) for name in names if _is_number(name)]
    whole = all(value >= 0 and value == int(value) for value in values if math.isfinite(value))
    return 2 * len(values) > len(names) and not (whole and values == sorted(set(values)))


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _is_one_name(columns: Sequence[str]) -> bool:
    return len(columns) == 1 and any(mark in columns[0] for mark in ",;\t|")
