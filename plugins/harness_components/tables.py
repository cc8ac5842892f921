"""Tables in files, and the place of a value in them: a mistake is told with the line where a person finds it."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from harness.errors import HarnessError


class Table:
    """A table and the file it comes from."""

    def __init__(self, file: Path, frame: pd.DataFrame) -> None:
        self.file, self.frame = file, frame

    def place(self, row: int) -> str:
        """Where a row stands; the first is row 1."""
        return f"{self.file}, row {row + 1}"

    def cell(self, row: int, column: str) -> str:
        """What stands there, as it is written."""
        value = self.frame[column].iloc[row]
        return "nothing" if pd.isna(value) else repr(value) if isinstance(value, str) else str(value)


class TextTable(Table):
    """A table in a text file. Raises HarnessError, with the line, for a file that is none."""

    def __init__(self, file: Path, separator: str) -> None:
        self.separator = "\t" if separator == "\\t" else separator
        self.file = file
        if len(self.separator) != 1:
            raise HarnessError(f"data.separator must be one character (\\t is a tab), got {separator!r}")
        try:
            self._check_header()
            with warnings.catch_warnings():  # rows longer than the header are cut, with a warning
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(file, sep=self.separator, skipinitialspace=True, index_col=False, low_memory=False)
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
            raise HarnessError(f"{file}: {' '.join(str(error).split())}") from error
        super().__init__(file, frame)

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

    def cell(self, row: int, column: str) -> str:
        """What stands there, as it is written: pandas reads many words as nothing."""
        values = self._record(row)[1]
        at = list(self.frame.columns).index(column)
        text = values[at].strip() if at < len(values) else ""
        return repr(text) if text else "nothing"
