"""All records below a folder, quickly: an index beside them, a cache that whoever reads them keeps.

The runs' folders are the truth, and the index holds nothing that is not in them. A line of it stands for a record.json
only as long as that file has the times, the size and the inode with which it was read: what was changed, removed or
added since is seen at once. It may be deleted at any time, and need not be writable.

A line is either a whole record, the base of others, or a run: its folder, the stamp of its record.json, the name of a
base, and the difference from it. Most of a record (environment, config) is the same in all runs of a study, so that
ten thousand of them are some megabytes. Readers append, whole lines in one write, and the last line of a run counts.
"""

from __future__ import annotations

import contextlib
import gc
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
from harness.system import safe_files
from harness.system.errors import one_line
from harness.system.safe_files import write_file
from harness.system.typed_json import refuse_depth

INDEX = ".index.jsonl"
FORMAT = 2
EACH = 256 * safe_files.KB  # of a line of the index, on average
MANY = 64  # fewer records are read as quickly from their own files
SETTLED_NS = 2_000_000_000  # within its file system's tick (up to 2 s) a file can change and keep its times
_RUN = re.compile(r".*-([0-9a-f]{12})", re.DOTALL)

Stamp = tuple[int, ...]
Row = dict[str, Any]
_encode = json.JSONEncoder(separators=(",", ":")).encode


def read_all(root: Path, unreadable: list[str] | None = None) -> list[Record]:
    """Every record below a folder (a run, a study, a folder of studies) that can be read, in the order of the paths.

    Hidden folders are left out, and what stands inside of a run's folder. `unreadable` gets a line for each record
    that cannot be read, and for an index that is not used.
    """
    before = time.time_ns()
    bad: list[str] = [] if unreadable is None else unreadable
    stamps = dict(_runs(root))
    names = sorted(stamps, key=lambda name: name.split("/"))
    records: list[Record] = []
    if len(names) < MANY:
        for name in names:
            try:
                records.append(read_record(root / name))
            except (OSError, ValueError) as error:
                bad.append(_told(root / name / FILE, error))
        return records
    fresh: dict[str, Row] = {}
    with _uncollected():
        index = _Index.read(root, len(names), bad)
        for name in names:
            record = index.record(name, stamps[name], root / name)
            if record is None:
                try:
                    row, words = read_row(root / name)
                    record = from_row(row, root / name, words=words)
                except (OSError, ValueError) as error:
                    bad.append(_told(root / name / FILE, error))
                    continue
                if max(stamps[name][:2]) < before - SETTLED_NS:
                    fresh[name] = row
            records.append(record)
        with contextlib.suppress(OSError):  # an index that cannot be written costs time, never the answer
            index.keep(root / INDEX, fresh, stamps)
    return records


def _told(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in a line."""
    if isinstance(error, OSError):
        return f"{path}: {error.strerror or one_line(error)}"
    return f"{path}: {' '.join(str(error).split())}"


def by_id(study: Path, only: Container[str] | None = None) -> dict[str, Path]:
    """{id: folder} of the runs, or of some, that stand directly in a study and have a record, which is not read."""
    found: dict[str, Path] = {}
    for name in sorted(_folders(str(study))):
        match = _RUN.fullmatch(name)
        if match is None or match[1] in found or (only is not None and match[1] not in only):
            continue
        if _stamp(f"{study}/{name}"):
            found[match[1]] = study / name
    return found


def _runs(root: Path) -> Iterator[tuple[str, Stamp]]:
    """(folder relative to the root, stamp) of every run."""
    waiting = [""]
    while waiting:
        name = waiting.pop()
        path = f"{root}/{name}"
        stamp = _stamp(path)
        if stamp is not None:
            yield name, stamp
        else:
            waiting += [f"{name}/{inner}" if name else inner for inner in _folders(path)]


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _stamp(folder: str) -> Stamp | None:
    """What tells one state of a run's record from another, without reading it; None where there is none."""
    try:
        stat = os.stat(f"{folder}/{FILE}")
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


@dataclass
class _Index:
    """What the lines of an index tell."""

    bases: dict[str, Row] = field(default_factory=dict)
    copies: dict[str, Callable[[], Row]] = field(default_factory=dict)  # of the bases: records share nothing
    runs: dict[str, tuple[Stamp, str, list[Any]]] = field(default_factory=dict)  # stamp, name of the base, difference
    words: set[str] = field(default_factory=set)  # runs and bases where numbers may be written as words
    lines: int = 0
    ended: bool = True  # whether the last line has its end
    usable: bool = True  # whether the file may be written

    @classmethod
    def read(cls, root: Path, runs: int, bad: list[str]) -> _Index:
        """The index in a folder; empty where there is none. A line that is torn or of another format is passed over.

        A link is neither read nor written, and no more is read than an index of so many `runs` can hold.
        """
        index = cls()
        path = root / INDEX
        outer = root.name != OUTPUTS and safe_files.is_link(root)  # the user's own outputs may lie elsewhere
        if outer or safe_files.is_link(path):
            index.usable = False
            if not outer:
                bad.append(f"{path} is a link, and is not used: remove it")
            return index
        try:
            text = safe_files.read(path, EACH * (runs + MANY))
        except FileNotFoundError:
            return index
        except OSError as error:
            index.usable = False
            bad.append(f"{_told(path, error)}; it is not used: remove it")
            return index
        index.ended = not text or text.endswith(b"\n")
        for line in filter(None, text.split(b"\n")):
            index.lines += 1
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                refuse_depth(line)
                index._take(json.loads(line.decode(errors="replace")), has_words(line))
        return index

    def _take(self, line: Any, words: bool) -> None:
        if isinstance(line, dict):
            if line["format"] == FORMAT:
                base, row = str(line["base"]), dict(line["row"])
                from_row(row, Path())  # in a run that differs from it, only the difference is checked again
                self.bases[base], self.copies[base] = row, _copier(row)
                (self.words.add if words else self.words.discard)(base)
        else:
            name, stamp, base, difference = line
            self.runs[str(name)] = tuple(stamp), str(base), difference
            (self.words.add if words else self.words.discard)(str(name))

    def record(self, name: str, stamp: Stamp, folder: Path) -> Record | None:
        """A run's record; None where the index does not hold this state of it."""
        known, base, difference = self.runs.get(name, (None, "", []))
        if known != stamp or base not in self.copies:
            return None
        try:
            changed = {key for part in difference for key in part}
            words = name in self.words or base in self.words
            return from_row(_merged(self.copies[base](), difference), folder, changed, words)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def keep(self, path: Path, fresh: dict[str, Row], stamps: dict[str, Stamp]) -> None:
        """Appends what was read anew; writes the file without its garbage where that is more than the half."""
        if not self.usable:
            return
        lines = self._add(fresh, stamps)
        live = {n: run for n, run in self.runs.items() if run[0] == stamps.get(n) and run[1] in self.bases}
        used = {base for _, base, _ in live.values()}
        if self.lines + len(lines) > 2 * (len(live) + len(used)):
            bases = [_base_line(base, self.bases[base]) for base in sorted(used)]
            write_file(path, _joined(bases + [_encode([name, *run]) for name, run in live.items()]))
        elif lines:
            # in one write: the lines of several readers may follow each other, they do not mix
            safe_files.append(path, _joined(lines if self.ended else ["", *lines]))

    def _add(self, fresh: dict[str, Row], stamps: dict[str, Stamp]) -> list[str]:
        """The lines that are new. A run's base is one with the same keys in the same order."""
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
    """[the values that differ, the differences of inner dictionaries with the same keys in the same order, all values
    of those inner dictionaries of which most differ, without their keys].
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
        # 1, 1.0 and True are equal, and differ
        elif type(value) is not type(old) or value != old or repr(value) != repr(old):
            values[key] = value
    return [values, inner, whole]


def _copier(value: Row | list[Any]) -> Callable[[], Any]:
    """Makes deep copies of one value, several times as quickly as copy.deepcopy does."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [(place, _copier(more)) for place, more in items if isinstance(more, (dict, list))]
    if not inner:
        return value.copy

    def copy() -> Any:
        new: Any = value.copy()
        for place, again in inner:
            new[place] = again()
        return new

    return copy


def _merged(row: Row, difference: list[Any]) -> Row:
    """A base, changed into the record that differs so from it."""
    values, inner, whole = difference
    if values:
        row.update(values)
    for key, more in inner.items():
        _merged(row[key], more)
    for key, all_values in whole.items():
        row[key] = dict(zip(row[key], all_values, strict=True))
    return row


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: what JSON tells holds none, and it would walk all of it again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled and not gc.get_freeze_count():
            gc.freeze()  # what is new goes to the old generation as it is,
            gc.unfreeze()  # instead of being walked once more as young
        if enabled:
            gc.enable()
