"""Tables in text files, with encoding, separator and header detected or given."""

from __future__ import annotations

import bz2
import codecs
import csv
import functools
import gzip
import io
import itertools
import lzma
import unicodedata
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from harness import HarnessError
from harness_components.data.tables.reader import FAULTS, Table, all_faults

AUTO = "auto"
_SAMPLE = 50  # records used to detect separator and header
_SEPARATORS = ",;\t|"
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile)
# Encodings tried after UTF-8: text in one of them is mostly letters of its scripts
_TRIED = (("cp949", ("HANGUL",)), ("shift_jis", ("HIRAGANA", "KATAKANA")), ("gb18030", ("CJK UNIFIED",)))
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def opened(file: Path) -> IO[bytes]:
    """Open the content of a file, decompressed if it is compressed (gzip, bzip2, xz, or a zip of one file)."""
    with file.open("rb") as raw:
        start = raw.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(file)  # type: ignore[return-value]  # a file of bytes in all but name
    if start.startswith(b"BZh"):
        return bz2.open(file)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.open(file)
    if start.startswith(b"PK\x03\x04"):
        archive = zipfile.ZipFile(file)
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
        if "[Content_Types].xml" in names:
            raise HarnessError(f"{file} is an Excel workbook: save the sheet as CSV")
        if len(names) != 1:
            raise HarnessError(f"{file} holds {len(names)} files, expected one: unpack it and name one of them")
        return archive.open(names[0])
    return file.open("rb")


def encoding_of(file: Path) -> str:
    """Detect the encoding of a text file: by its byte order mark, as UTF-8, or by the letters that others would yield.

    Raises:
        HarnessError: If it is text in none of them, with the first line that is not UTF-8.
    """
    with opened(file) as raw:
        start = raw.read(4096)
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    if start[1::2].count(0) > 0.4 * len(start[1::2]) > 0:
        return "utf-16-le"
    if start[::2].count(0) > 0.4 * len(start[::2]) > 0:
        return "utf-16-be"
    if 0 not in start:
        if _letters(file, "utf-8") is not None:
            return "utf-8"
        for name, scripts in _TRIED:
            if (letters := _letters(file, name)) and _share(letters, scripts) > 0.8:
                return name
        western = _letters(file, "cp1252")
        if western is not None and not any(unicodedata.category(c) == "Cc" for c in western):
            return "cp1252"
    raise HarnessError(f"{_undecodable(file, 'utf-8')}: expected text in UTF-8; name another with data.encoding=...")


def _share(letters: Counter[str], scripts: tuple[str, ...]) -> float:
    count = sum(n for c, n in letters.items() if unicodedata.name(c, "").startswith(scripts))
    return count / letters.total()


def _letters(file: Path, encoding: str) -> Counter[str] | None:
    """Count the letters beyond ASCII and control characters; return None if the file is not in this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    counts: Counter[str] = Counter()
    with opened(file) as raw:
        try:
            while content := raw.read(1 << 20):
                text = decoder.decode(content)
                if encoding != "utf-8":
                    counts.update(c for c in text if c > "\x7f" or c < "\t")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return None
    return Counter({c: n for c, n in counts.items() if c < "\t" or unicodedata.category(c)[0] in "LC"})


def _undecodable(file: Path, encoding: str) -> str:
    with opened(file) as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return f"{file}, line {number}, byte {line[error.start]:#x}"
            if b"\0" in line:
                return f"{file}, line {number}, byte 0x0"
    return str(file)


class TextTable(Table):
    """A table in a text file.

    Args:
        file: the file, which may be compressed.
        separator: character between two values; "\\\\t" is a tab; "auto" detects it.
        encoding: encoding of the text; "auto" detects it.
    """

    words = True

    def __init__(self, file: Path, separator: str = AUTO, encoding: str = AUTO) -> None:
        super().__init__(file)
        self._separator = "\t" if separator == "\\t" else separator
        if len(self._separator) != 1 and separator != AUTO:
            raise HarnessError(f"data.separator must be one character (\\t is a tab), got {separator!r}")
        if encoding != AUTO:
            try:
                codecs.lookup(encoding)
            except LookupError as error:
                raise HarnessError(f"data.encoding: there is no encoding {encoding!r}; try utf-8 or cp949") from error
        self._encoding = encoding

    def like(self, file: Path) -> TextTable:
        return TextTable(file, self._separator, self._encoding)

    @property
    def about(self) -> dict[str, str]:
        return {"encoding": self.encoding, "separator": self.separator}

    @property
    def columns(self) -> list[str]:
        return list(self._header[1])

    @property
    def repeated(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._header[3]

    @functools.cached_property
    def encoding(self) -> str:
        """The encoding, given or detected."""
        with self._readable():
            return encoding_of(self.file) if self._encoding == AUTO else self._encoding

    @property
    def separator(self) -> str:
        """The separator, given or detected."""
        return self._header[0]

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Raise HarnessError, with the line where it is known, for content that cannot be read."""
        try:
            yield
        except UnicodeError as error:
            where = _undecodable(self.file, self.encoding)
            raise HarnessError(f"{where}: expected text in {self.encoding} (data.encoding)") from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise self._ragged() or HarnessError(f"{self.file}: {' '.join(str(error).split())}") from error
        except _BROKEN as error:
            raise HarnessError(f"{self.file} is damaged or cut short: {' '.join(str(error).split())}") from error
        except csv.Error as error:
            raise HarnessError(f"{self.file}: {error}: is a quotation mark open?") from error

    @contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        encoding = "utf-8-sig" if self.encoding in ("utf-8", "utf8") else self.encoding
        with opened(self.file) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
            yield text

    @functools.cached_property
    def _header(self) -> tuple[str, list[str], int, tuple[str, ...]]:
        """(separator, names of all columns, lines before the first row, repeated names)."""
        with self._readable(), self._text() as text:
            lines = list(itertools.islice(text, 20 * _SAMPLE))
        skipped, declared = _preamble(lines)
        lines = lines[skipped:]
        if not any(line.strip() for line in lines):
            raise HarnessError(f"{self.file} is empty, expected a header line and rows")
        separator = self._separator if self._separator != AUTO else declared or _separator(lines)
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        header = next(values for values in reader if _is_record(values))
        header_lines = skipped + reader.line_num
        try:
            rows = list(itertools.islice((values for values in reader if _is_record(values)), _SAMPLE))
        except csv.Error:  # reported when the rows are read
            rows = []
        header = [name.strip() for name in header]
        repeated = tuple(name for name, n in Counter(header).items() if n > 1 and name)
        return separator, _names(header, rows), header_lines, repeated

    def frames(self, rows: int | None = None, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        for frame in [self._whole] if rows is None else self._frames(rows):
            yield frame if columns is None else frame[list(columns)]

    @functools.cached_property
    def _whole(self) -> pd.DataFrame:
        return next(self._frames(None), pd.DataFrame(columns=self.columns, dtype=str))

    def _frames(self, rows: int | None) -> Iterator[pd.DataFrame]:
        separator, names, header_lines, _ = self._header
        options: dict[str, Any] = {"sep": separator, "skipinitialspace": True, "index_col": False, "header": None}
        options |= {"names": names, "dtype": str, "na_filter": False, "low_memory": False, "chunksize": rows}
        checked = False  # whether rows were checked for their length
        with self._readable(), warnings.catch_warnings(), self._text() as text:
            # pandas cuts rows that are longer than the header, with this warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            for _ in range(header_lines):
                next(text)
            try:
                read = pd.read_csv(text, **options)
            except pd.errors.EmptyDataError:
                return
            for frame in [read] if rows is None else read:
                frame = frame.apply(lambda column: column.str.strip())
                last = frame[names[-1]] == ""
                if bool(last.any()):  # a missing value, a row that is too short, or a row of separators
                    if not checked and (wrong := self._ragged()) is not None:
                        raise wrong
                    checked = True
                    frame = frame[~(last & (frame == "").all(axis=1))].reset_index(drop=True)
                yield frame

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, values) of every row after the header, without empty lines."""
        separator, _, header_lines, _ = self._header
        with self._text() as text:
            for _ in range(header_lines):
                next(text)
            reader = csv.reader(text, delimiter=separator, skipinitialspace=True)
            start = header_lines + 1
            for values in reader:
                if _is_record(values):
                    yield start, values
                start = header_lines + reader.line_num + 1

    def _ragged(self) -> HarnessError | None:
        """Return an error on rows that are longer or shorter than the header, if there are any."""
        width = len(self.columns)
        lines: list[str] = []
        more = 0
        for line, values in self._records():
            if len(values) == width:
                continue
            more += len(lines) == FAULTS
            if len(lines) < FAULTS:
                end = ": is a quotation mark open?" if any("\n" in value for value in values) else ""
                lines.append(f"line {line}: expected {width} values, got {len(values)}{end}")
        return HarnessError(all_faults(self.file, lines, more)) if lines else None

    def places(self, rows: Iterable[int]) -> dict[int, tuple[str, dict[str, str]]]:
        requested = set(rows)
        return {
            row: (f"line {line}", dict(zip(self.columns, (v.strip() for v in values), strict=False)))
            for row, (line, values) in enumerate(self._records())
            if row in requested
        }


def _is_record(values: Sequence[str]) -> bool:
    return any(value.strip() for value in values)


def _preamble(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return the number of lines before the header (Excel's `sep=;`, comments), and the separator declared there."""
    for number, line in enumerate(lines):
        text = line.strip()
        if text.lower().startswith("sep=") and len(text) == 5:
            return number + 1, text[4]
        comment = text.startswith("#") and not any(mark in text for mark in _SEPARATORS)
        if text and not comment:
            return number, None
    return 0, None


def _separator(lines: Sequence[str]) -> str:
    """Return the mark that splits header and rows into the same number of values, and into the most."""
    best, most = ",", 1
    for mark in (*_SEPARATORS, " "):
        if mark == " " and most > 1:
            break
        try:
            records = [r for r in csv.reader(lines, delimiter=mark, skipinitialspace=True) if _is_record(r)][:_SAMPLE]
        except csv.Error:
            continue
        width = len(records[0])
        usual = Counter(len(r) for r in records[1:] or records).most_common(1)[0][0]
        if usual in (width, width + 1) and width > most:
            best, most = mark, width
    if most == 1:  # one column, or rows that do not fit: the most frequent mark of the header
        return max(_SEPARATORS, key=lambda mark: (lines[0].count(mark), mark == ","))
    return best


def _names(header: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return unique names for all columns: nameless and repeated ones are numbered, as in pandas."""
    if rows and all(len(row) == len(header) + 1 for row in rows):
        if not any(row[-1].strip() for row in rows):  # a separator at the end of each row
            header = [*header, ""]
        elif len({row[0] for row in rows}) == len(rows) > 2:  # R writes names of rows, and none for their column
            header = ["", *header]
    names: list[str] = []
    for place, name in enumerate(header):
        name = first = name or f"Unnamed: {place}"
        for again in itertools.count(1):
            if name not in names:
                break
            name = f"{first}.{again}"
        names.append(name)
    return names
