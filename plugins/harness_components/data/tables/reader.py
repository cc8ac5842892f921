"""Tables in files, read some rows at a time, and the place of a value in them: faults are reported with their line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness import HarnessError, check_plain, suggest

FAULTS = 10  # that one message lists
_WHOLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}  # pandas reads them as floats where some are missing
UNNAMED = ("Unnamed: 0", "__index_level_0__")  # what pandas calls the index of a table that had no name for it


@dataclass(frozen=True)
class Fault:
    """One value that cannot be used: its row, counted from 0, and column."""

    row: int
    column: str
    expected: str
    fix: str = ""


def readable(path: str) -> Path:
    """The file of a path. Raises HarnessError for one that cannot be read."""
    if not path:
        raise HarnessError("data.path must name a file, got ''")
    file = Path(path).expanduser()
    try:
        if not file.is_dir():
            check_plain(file)  # a pipe would be waited for, and a device has no end
        with file.open("rb"):
            return file
    except IsADirectoryError as error:
        raise HarnessError(f"{file} is a folder, expected a file") from error
    except FileNotFoundError as error:
        near = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise HarnessError(f"no file {file}.{suggest(file.name, near, listed=False)}") from error
    except OSError as error:
        raise HarnessError(f"cannot read {file}: {error.strerror}") from error


class Table:
    """A table and the file it comes from."""

    repeated: tuple[str, ...] = ()  # names that several columns have
    words = False  # whether every value is text, and its type has to be found out

    def __init__(self, file: Path) -> None:
        self.file = file

    def like(self, file: Path) -> Table:
        """Another file, read in the same way."""
        return type(self)(file)

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in order."""
        raise NotImplementedError

    @property
    def remarks(self) -> list[str]:
        """What a person should know of how the file was read."""
        if not (self.words and looks_like_values([*self.columns, *self.repeated])):
            return []
        shown = ", ".join(self.columns[:4]) + (", ..." if len(self.columns) > 4 else "")
        return [
            f"{self.file}: is the first line, read as names ({shown}), a row? A line with names has to stand above it"
        ]

    @property
    def about(self) -> dict[str, str]:
        """How the file is read: encoding, separator."""
        return {}

    def frames(self, rows: int | None = None, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the table `rows` rows at a time, or all at once; of some columns only."""
        raise NotImplementedError

    def places(self, rows: Iterable[int]) -> dict[int, tuple[str, dict[str, str]]]:
        """Where rows stand, and their values as they are written."""
        wanted, at = set(rows), 0
        found: dict[int, tuple[str, dict[str, str]]] = {}
        for frame in self.frames(10_000):
            for row in sorted(r for r in wanted if at <= r < at + len(frame)):
                values = {str(c): frame[c].iloc[row - at] for c in frame}
                found[row] = f"row {row + 1}", {c: "" if _is_null(v) else str(v) for c, v in values.items()}
            at += len(frame)
        return found

    def refuse(self, faults: Sequence[Fault], more: int = 0) -> HarnessError:
        """One line on every fault, each with its place; `more` were not looked up."""
        places = self.places(fault.row for fault in faults)
        lines = []
        for fault in faults:
            place, values = places.get(fault.row, (f"row {fault.row + 1}", {}))
            got = repr(values[fault.column]) if values.get(fault.column) else "nothing"
            lines.append(f"{place}, column {fault.column!r}: expected {fault.expected}, got {got}")
        fixes = list(dict.fromkeys(fault.fix for fault in faults if fault.fix))
        return HarnessError(all_faults(self.file, lines, more) + "".join(f"; {fix}" for fix in fixes))


def all_faults(file: Path, lines: Sequence[str], more: int = 0) -> str:
    """The faults of a file in one line."""
    rest = f"; and {more:,} more" if more > 0 else ""
    return f"{file}, {'; '.join(lines)}{rest}"


def _is_null(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


class ParquetTable(Table):
    """A table in a Parquet file. A named index that pandas stored is a column like any other."""

    @property
    def columns(self) -> list[str]:
        with self._opened() as opened:
            return list(opened.schema_arrow.names)

    def _opened(self) -> Any:
        try:
            # a page of each column at a time, also where the whole file is one group of rows
            return pq.ParquetFile(self.file, buffer_size=1 << 16, pre_buffer=False)
        except Exception as error:  # pyarrow has many, none of them public
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> HarnessError:
        reason = " ".join(str(error).split()).partition(f"'{self.file}': ")
        return HarnessError(f"{self.file} is not a readable Parquet file: {reason[2] or reason[0]}")

    def frames(self, rows: int | None = None, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        wanted = None if columns is None else list(columns)
        with self._opened() as opened:
            try:
                if rows is None:
                    batches: Iterable[Any] = [opened.read(columns=wanted)]
                else:
                    batches = (pa.Table.from_batches([b]) for b in opened.iter_batches(rows, columns=wanted))
                named = _named(opened.schema_arrow.pandas_metadata or {})
                for batch in batches:
                    frame = batch.to_pandas(ignore_metadata=True, date_as_object=False, types_mapper=_WHOLE.get)
                    frame = frame.astype(dict.fromkeys(named.intersection(frame), "category"))
                    yield frame if wanted is None else frame[wanted]
            except Exception as error:
                raise self._unreadable(error) from error


def _named(metadata: dict[str, Any]) -> set[str]:
    """The columns that pandas stored as categories; of numbers, the file itself keeps the numbers alone."""
    return {c["field_name"] for c in metadata.get("columns", ()) if c.get("pandas_type") == "categorical"}


def check_columns(table: Table, target: str, named: dict[str, Sequence[str]]) -> None:
    """Raise HarnessError for a table that lacks a column that is named, listing all that are not there.

    Args:
        table: the table.
        target: the column to predict; "" where none is.
        named: the columns that each setting names.
    """
    columns = table.columns
    used = {target, *(name for names in named.values() for name in names)}
    if twice := sorted(used.intersection(table.repeated)):
        raise HarnessError(f"{table.file}: two columns are named {twice[0]!r}; rename one of them")
    wrong = []
    for setting, names in {"target": [target] if target else [], **named}.items():
        for name in names:
            if name not in columns:
                where = "" if setting == "target" else f" (data.{setting})"
                wrong.append(f"no column {name!r}{where}.{suggest(name, columns)}")
    if wrong:
        one = " The header was read as one name: say what separates, data.separator=..." if _whole(columns) else ""
        if table.words and 2 * sum(_is_number(name) for name in columns) > len(columns):
            one = " The first line looks like values: a header line with names has to stand above it"
        raise HarnessError(f"{table.file} has {' '.join(wrong)}{one}")
    if target and len(columns) < 2:
        raise HarnessError(f"{table.file} has no column beside {target!r}: nothing to learn from")


def looks_like_values(names: Sequence[str]) -> bool:
    """Whether most names are numbers, and other ones than years or places: these are whole, and increase.

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


def _whole(columns: Sequence[str]) -> bool:
    return len(columns) == 1 and any(mark in columns[0] for mark in ",;\t|")
