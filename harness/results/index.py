"""Read all records below a folder quickly, by means of an index file that caches them.

The records in the runs' folders are authoritative; the index holds nothing else. A line of it is valid as long as the
record.json has the times, the size and the inode with which it was read, so that changes are noticed. The index may be
deleted at any time, and need not be writable.

A line is either a base, which is a whole record, or a run: its folder, the stamp of its record.json, the name of its
base, and its difference from that. Runs of a study share most of their record (environment, config), so that the index
of ten thousand runs takes some megabytes. Readers append whole lines in one write, and the last line of a run counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.results.record import FILE, Record, from_row, has_words, read_record, read_row
from harness.results.study import OUTPUTS
from harness.results.tuning import FOLDER as TRIALS
from harness.system import safe_files
from harness.system.errors import one_line
from harness.system.garbage import uncollected
from harness.system.safe_files import write_file
from harness.system.typed_json import refuse_depth

INDEX = ".index.jsonl"
FORMAT = 2
LINE_BYTES = 256 * safe_files.KB  # largest size of a line of the index, on average
MANY = 64  # records; fewer are read as quickly from their own files
SETTLED_NS = 2_000_000_000  # a file that changes within its file system's tick (up to 2 s) may keep its times
_RUN = re.compile(r".*-([0-9a-f]{12})", re.DOTALL)

Stamp = tuple[int, ...]
Row = dict[str, Any]
_encode = json.JSONEncoder(separators=(",", ":")).encode


def read_all(root: Path, unreadable: list[str] | None = None) -> list[Record]:
    """Read every record below a folder, in the order of the paths.

    Hidden folders, folders inside of a run's folder and the trials of tuning in a study are skipped.

    Args:
        root: A run, a study, or a folder of studies.
        unreadable: List that gets a line for each record that cannot be read, and for an index that cannot be used.
    """
    before = time.time_ns()
    problems: list[str] = [] if unreadable is None else unreadable
    stamps = dict(_runs(root))
    names = sorted(stamps, key=lambda name: name.split("/"))
    records: list[Record] = []
    if len(names) < MANY:
        for name in names:
            try:
                records.append(read_record(root / name))
            except (OSError, ValueError) as error:
                problems.append(_error_line(root / name / FILE, error))
        return records
    fresh: dict[str, Row] = {}
    with uncollected():  # parsed JSON holds no cycles
        index = _Index.read(root, len(names), problems)
        for name in names:
            record = index.record(name, stamps[name], root / name)
            if record is None:
                try:
                    row, words = read_row(root / name)
                    record = from_row(row, root / name, words=words)
                except (OSError, ValueError) as error:
                    problems.append(_error_line(root / name / FILE, error))
                    continue
                if max(stamps[name][:2]) < before - SETTLED_NS:
                    fresh[name] = row
            records.append(record)
        with contextlib.suppress(OSError):  # without an index everything works, only slower
            index.update(root / INDEX, fresh, stamps)
    return records


def _error_line(path: Path, error: Exception) -> str:
    """Return in one line why a file cannot be read."""
    if isinstance(error, OSError):
        return f"{path}: {error.strerror or one_line(error)}"
    return f"{path}: {' '.join(str(error).split())}"


def by_id(study: Path, only: Container[str] | None = None) -> dict[str, Path]:
    """Return {id: folder} of the runs of a study that have a record, without reading the records.

    Args:
        study: Folder of the study.
        only: IDs to look for; None for all.
    """
    runs: dict[str, Path] = {}
    for name in sorted(_folders(str(study))):
        match = _RUN.fullmatch(name)
        if match is None or match[1] in runs or (only is not None and match[1] not in only):
            continue
        if _stamp(f"{study}/{name}"):
            runs[match[1]] = study / name
    return runs


def _runs(root: Path) -> Iterator[tuple[str, Stamp]]:
    """Yield (folder relative to the root, stamp) of every run."""
    waiting = [""]
    while waiting:
        name = waiting.pop()
        path = f"{root}/{name}"
        stamp = _stamp(path)
        if stamp is not None:
            yield name, stamp
        else:
            waiting += [f"{name}/{inner}" if name else inner for inner in _folders(path) if inner != TRIALS]


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _stamp(folder: str) -> Stamp | None:
    """Return times, size and inode of a run's record, which change with it; None if there is no record."""
    try:
        stat = os.stat(f"{folder}/{FILE}")
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


@dataclass
class _Index:
    """The content of an index file."""

    bases: dict[str, Row] = field(default_factory=dict)
    copies: dict[str, Callable[[], Row]] = field(default_factory=dict)  # copy the bases, since records share nothing
    runs: dict[str, tuple[Stamp, str, list[Any]]] = field(default_factory=dict)  # stamp, name of the base, difference
    words: set[str] = field(default_factory=set)  # runs and bases in which numbers may be written as words
    lines: int = 0
    ended: bool = True  # True if the last line ends with a line break
    usable: bool = True  # True if the file may be written

    @classmethod
    def read(cls, root: Path, runs: int, problems: list[str]) -> _Index:
        """Read the index in a folder; empty if there is none. Lines that are torn or of another format are skipped.

        Args:
            root: The folder. If it or the index is a link, the index is neither read nor written.
            runs: Number of runs below the folder, which limits the size of an index to read.
            problems: List that gets a line for an index that cannot be used.
        """
        index = cls()
        path = root / INDEX
        linked_root = root.name != OUTPUTS and safe_files.is_link(root)  # outputs/ itself may be a link
        if linked_root or safe_files.is_link(path):
            index.usable = False
            if not linked_root:
                problems.append(f"{path} is a link, and is not used: remove it")
            return index
        try:
            text = safe_files.read(path, LINE_BYTES * (runs + MANY))
        except FileNotFoundError:
            return index
        except OSError as error:
            index.usable = False
            problems.append(f"{_error_line(path, error)}; it is not used: remove it")
            return index
        index.ended = not text or text.endswith(b"\n")
        for line in filter(None, text.split(b"\n")):
            index.lines += 1
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                refuse_depth(line)
                index._add_line(json.loads(line.decode(errors="replace")), has_words(line))
        return index

    def _add_line(self, line: Any, words: bool) -> None:
        if isinstance(line, dict):
            if line["format"] == FORMAT:
                base, row = str(line["base"]), dict(line["row"])
                from_row(row, Path())  # checks the base; of its runs only the difference is checked
                self.bases[base], self.copies[base] = row, _copier(row)
                (self.words.add if words else self.words.discard)(base)
        else:
            name, stamp, base, difference = line
            self.runs[str(name)] = tuple(stamp), str(base), difference
            (self.words.add if words else self.words.discard)(str(name))

    def record(self, name: str, stamp: Stamp, folder: Path) -> Record | None:
        """Return a run's record, or None if the index does not hold this state of it."""
        known, base, difference = self.runs.get(name, (None, "", []))
        if known != stamp or base not in self.copies:
            return None
        try:
            changed = {key for part in difference for key in part}
            words = name in self.words or base in self.words
            return from_row(_merged(self.copies[base](), difference), folder, changed, words)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def update(self, path: Path, fresh: dict[str, Row], stamps: dict[str, Stamp]) -> None:
        """Append newly read records, or rewrite the file if more than half of its lines are out of date.

        Args:
            path: The index file.
            fresh: Records that were not in the index, by folder.
            stamps: Stamps of all runs, by folder.
        """
        if not self.usable:
            return
        lines = self._add(fresh, stamps)
        live = {n: run for n, run in self.runs.items() if run[0] == stamps.get(n) and run[1] in self.bases}
        used = {base for _, base, _ in live.values()}
        if self.lines + len(lines) > 2 * (len(live) + len(used)):
            bases = [_base_line(base, self.bases[base]) for base in sorted(used)]
            write_file(path, _joined(bases + [_encode([name, *run]) for name, run in live.items()]))
        elif lines:
            # in one write, so that lines of several readers do not mix
            safe_files.append(path, _joined(lines if self.ended else ["", *lines]))

    def _add(self, fresh: dict[str, Row], stamps: dict[str, Stamp]) -> list[str]:
        """Return the lines of new records. The base of a run has the same keys in the same order."""
        lines: list[str] = []
        shapes = {tuple(row): base for base, row in self.bases.items()}
        for name, row in fresh.items():
            if tuple(row) not in shapes:
                base = hashlib.sha256(f"{FORMAT} {_encode(row)}".encode()).hexdigest()[:12]
                self.bases[base] = row
                shapes[tuple(row)] = base
                lines.append(_base_line(base, row))
            base = shapes[tuple(row)]
            self.runs[name] = stamps[name], base, _difference(row, self.bases[base])
            lines.append(_encode([name, *self.runs[name]]))
        return lines


def _base_line(base: str, row: Row) -> str:
    return _encode({"format": FORMAT, "base": base, "row": row})


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _difference(new: Row, base: Row) -> list[Any]:
    """Return the difference of a row from a base with the same keys in the same order.

    It is a list of three dictionaries: the values that differ; the differences of inner dictionaries that have the same
    keys in the same order; and all values, without keys, of such inner dictionaries of which most values differ.
    """
    values: Row = {}
    inner: dict[str, list[Any]] = {}
    whole: dict[str, list[Any]] = {}
    for key, value in new.items():
        old = base[key]
        if isinstance(value, dict) and isinstance(old, dict) and list(value) == list(old):
            difference = _difference(value, old)
            if 2 * len(difference[0]) > len(value):
                whole[key] = list(value.values())
            elif any(difference):
                inner[key] = difference
        # 1 == 1.0 == True, but they are written differently
        elif type(value) is not type(old) or value != old or repr(value) != repr(old):
            values[key] = value
    return [values, inner, whole]


def _copier(value: Row | list[Any]) -> Callable[[], Any]:
    """Return a function that makes deep copies of a value, several times faster than copy.deepcopy."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [(key, _copier(item)) for key, item in items if isinstance(item, (dict, list))]
    if not inner:
        return value.copy

    def copy() -> Any:
        new: Any = value.copy()
        for key, copy_item in inner:
            new[key] = copy_item()
        return new

    return copy


def _merged(row: Row, difference: list[Any]) -> Row:
    """Apply a difference to a copy of a base, in place, and return it."""
    values, inner, whole = difference
    if values:
        row.update(values)
    for key, inner_difference in inner.items():
        _merged(row[key], inner_difference)
    for key, all_values in whole.items():
        row[key] = dict(zip(row[key], all_values, strict=True))
    return row
