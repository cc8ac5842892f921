"""Tables in files, and the place of a value in them: a mistake is told with the line where a person finds it."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import HarnessError, suggest


class Table:
    """A table and the file it comes from."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def frames(
        self, rows: int | None = None, columns: list[str] | None = None, kinds: dict[str, Any] | None = None
    ) -> Iterator[pd.DataFrame]:
        """The table, so many rows at a time, or all at once; of some columns alone, or with some as a given dtype."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Where a row stands; the first is row 1."""
        return f"{self.file}, row {row + 1}"

    def cell(self, row: int, column: int, value: Any) -> str:
        """What stands there, as it is written; it was read as `value`."""
        return "nothing" if pd.isna(value) else repr(value) if isinstance(value, str) else str(value)


class ParquetTable(Table):
    """A table in a Parquet file."""

    def frames(
        self, rows: int | None = None, columns: list[str] | None = None, kinds: dict[str, Any] | None = None
    ) -> Iterator[pd.DataFrame]:
        try:
            if rows is None:
                yield pd.read_parquet(self.file, columns=columns)
                return
            # a little of each column at a time, also where the whole file is one group of rows
            with pq.ParquetFile(self.file, buffer_size=1 << 20) as opened:
                for batch in opened.iter_batches(rows, columns=columns):
                    yield pa.Table.from_batches([batch]).to_pandas()
        except Exception as error:  # pyarrow has many, none of them public
            reason = " ".join(str(error).split()).partition(f"'{self.file}': ")
            raise HarnessError(f"{self.file} is not a readable Parquet file: {reason[2] or reason[0]}") from error


class TextTable(Table):
    """A table in a text file. Raises HarnessError, with the line, for a file that is none."""

    def __init__(self, file: Path, separator: str) -> None:
        super().__init__(file)
        self.separator = "\t" if separator == "\\t" else separator
        if len(self.separator) != 1:
            raise HarnessError(f"data.separator must be one character (\\t is a tab), got {separator!r}")

    def frames(
        self, rows: int | None = None, columns: list[str] | None = None, kinds: dict[str, Any] | None = None
    ) -> Iterator[pd.DataFrame]:
        options: dict[str, Any] = {"sep": self.separator, "skipinitialspace": True, "index_col": False}
        options |= {"usecols": columns, "dtype": kinds, "low_memory": False}
        try:
            self._check_header()
            with warnings.catch_warnings():  # rows longer than the header are cut, with a warning
                warnings.simplefilter("error", pd.errors.ParserWarning)
                if rows is None:
                    yield pd.read_csv(self.file, **options)
                    return
                with pd.read_csv(self.file, chunksize=rows, **options) as chunks:
                    yield from chunks
        except UnicodeDecodeError as error:
            raise HarnessError(f"{self._undecodable()}: expected text in UTF-8") from error
        except (
            pd.errors.ParserError,
            pd.errors.EmptyDataError,
            pd.errors.ParserWarning,
            csv.Error,
            ValueError,
        ) as error:
            if isinstance(error, HarnessError):
                raise
            self._check_lengths()
            raise HarnessError(f"{self.file}: {' '.join(str(error).split())}") from error

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """(line, values) of every record, the header first; as in pandas, blank lines are none."""
        with self.file.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=self.separator, skipinitialspace=True)
            start = 1
            for values in reader:
                if any(value.strip() for value in values) or len(values) > 1:
                    yield start, values
                start = reader.line_num + 1

    def _check_header(self) -> None:
        _, header = next(self._records(), (0, None))
        if header is None:
            raise HarnessError(f"{self.file} is empty, expected a header line and rows")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise HarnessError(f"{self.file}, line 1: two columns are named {twice[0]!r}")

    def _check_lengths(self) -> None:
        """Raises HarnessError for the first record that is longer or shorter than the header."""
        records = self._records()
        _, header = next(records)
        for line, values in records:
            if len(values) != len(header):
                end = ": is a quotation mark open?" if any("\n" in value for value in values) else ""
                raise HarnessError(f"{self.file}, line {line}: expected {len(header)} values, got {len(values)}{end}")

    def _undecodable(self) -> str:
        with self.file.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    return f"{self.file}, line {number}, byte {line[error.start]:#x}"
        return str(self.file)

    def _record(self, row: int) -> tuple[int, list[str]]:
        for number, found in enumerate(self._records()):
            if number == row + 1:
                return found
        return row + 2, []

    def place(self, row: int) -> str:
        """Where a row stands; the header is line 1."""
        self._check_lengths()
        return f"{self.file}, line {self._record(row)[0]}"

    def cell(self, row: int, column: int, value: Any) -> str:
        """What stands there, as it is written: pandas reads many words as nothing."""
        values = self._record(row)[1]
        text = values[column].strip() if column < len(values) else ""
        return repr(text) if text else "nothing"


def check_column(table: Table, column: pd.Series, place: int, numbers: bool, first: int = 0) -> None:
    """Raises HarnessError with the place of the first value that cannot be used; `place` is the column's among all,
    `first` the row of the first value.
    """

    def refuse(bad: Any, expected: str) -> None:
        at = int(np.flatnonzero(np.asarray(bad))[0])
        got = table.cell(first + at, place, column.iloc[at])
        raise HarnessError(f"{table.place(first + at)}, column {column.name!r}: expected {expected}, got {got}")

    if column.isna().any():
        refuse(column.isna(), "a finite number" if numbers else "a value")
    if numbers and not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        bad = pd.to_numeric(column, errors="coerce").isna()
        if bad.any():
            refuse(bad, "a number")
        raise HarnessError(f"{table.file}, column {column.name!r}: expected numbers, got {column.dtype}")
    if pd.api.types.is_float_dtype(column) and bool(np.isinf(column).any()):
        refuse(np.isinf(column), "a finite number")


def check_columns(table: Table, columns: list[str], target: str) -> None:
    """Raises HarnessError for a table that lacks the target, or has nothing else."""
    if target not in columns:
        raise HarnessError(f"{table.file} has no column {target!r}.{suggest(target, columns)}")
    if len(columns) < 2:
        raise HarnessError(f"{table.file} has no column beside {target!r}: nothing to learn from")
