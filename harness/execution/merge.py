"""Merge studies: copy the runs of several into one, each ID once. Sources are not changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.execution.locks.run_lock import RunLocks
from harness.results.bundle import LOOKS
from harness.results.index import read_all
from harness.results.record import Record
from harness.results.tuning import FOLDER as TRIALS
from harness.results.tuning import MAX_BYTES as TUNING_BYTES
from harness.system import safe_files
from harness.system.errors import CannotWrite, HarnessError

_HIDDEN = ".merged-"  # prefix of a folder that is being copied; readers ignore it, and the next merge replaces it
_RANKS = {"running": 0, "interrupted": 1, "failed": 2}  # a run that ended further replaces one of the same ID
LOOKS_BYTES = 256 * safe_files.MB


@dataclass
class Merged:
    """The result of a merge.

    Attributes:
        added: Number of runs that were copied.
        equal: Number of runs that were there already, with the same results.
        replaced: Number of runs that had not completed and were replaced by one that did.
        trials: Number of trials of tuning that were copied.
        unfinished: Number of runs that have not ended, or that a process trains; they were not copied.
        conflicts: A line for each run, or file of tuning, that is there with other content. The first one is kept.
        left_out: A line for each record that cannot be read.
    """

    added: int = 0
    equal: int = 0
    replaced: int = 0
    trials: int = 0
    unfinished: int = 0
    conflicts: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def merge(sources: Sequence[tuple[str, Path]], into: Path) -> Merged:
    """Copy the runs of studies, with their trials and looks, into a study. It may be repeated after a crash.

    Args:
        sources: The name and the folder of each study.
        into: Folder of the study to copy to; it is created if it does not exist.

    Raises:
        HarnessError: If a source has no run, or if the study cannot be written.
    """
    result = Merged()
    found = {name: read_all(folder, result.left_out) for name, folder in sources}
    for name, records in found.items():
        if not records:
            raise HarnessError(f"no runs in {name}")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, folder in sources:
            single = found[name][0].folder == folder  # the source is a run
            root = folder.parent if single else folder
            result.added += _merge_runs(name, root, found[name], into, result)
            for study in () if single else sorted({record.folder.parent for record in found[name]}):
                target = into / study.relative_to(root)
                _merge_looks(study, target)
                _merge_tuning(name, study / TRIALS, target / TRIALS, result)
    except OSError as error:
        raise CannotWrite.from_os_error(into, error) from error
    return result


def _merge_runs(name: str, source: Path, records: Iterable[Record], into: Path, result: Merged) -> int:
    """Copy runs to the same places below a folder, and return how many were added."""
    by_study: dict[Path, list[Record]] = {}
    for record in records:
        by_study.setdefault(into / record.folder.relative_to(source).parent, []).append(record)
    added = 0
    for study, runs in by_study.items():
        safe_files.refuse_links(into, study.relative_to(into))
        study.mkdir(parents=True, exist_ok=True)
        with RunLocks(study) as locks:
            locked = set(locks.claim(record.id for record in runs))
            there = {record.id: record for record in read_all(study, result.left_out) if record.folder.parent == study}
            for record in runs:
                if record.id not in locked or record.status == "running":
                    result.unfinished += 1
                    continue
                known = there.get(record.id)
                if known is None:
                    added += _copy(record, study, result)
                elif _rank(record) > _rank(known):
                    _replace(record, known)
                    result.replaced += 1
                elif _rank(record) < _rank(known) or not (difference := _difference(known, record)):
                    result.equal += 1
                else:
                    line = f"run {record.id} ({record.name}): {difference} in {name}; the first is kept"
                    result.conflicts.append(line)
                    continue
                there.setdefault(record.id, record)
    return added


def _rank(record: Record) -> int:
    return _RANKS.get(record.status, len(_RANKS))


def _difference(known: Record, other: Record) -> str:
    """Return in words the first difference of the results of two runs of one ID; empty if there is none."""
    if known.status != other.status:
        return f"{known.status} here, {other.status}"
    for metric in {**known.metrics, **other.metrics}:
        here, there = known.metrics.get(metric), other.metrics.get(metric)
        if repr(here) != repr(there):  # nan is equal to nan, and 1 is not 1.0
            return f"{metric} {here!r} here, {there!r}"
    return ""


def _copy(record: Record, study: Path, result: Merged) -> int:
    """Copy a run into a study, and return 1; or 0 if a folder that is no run has its name."""
    target = study / record.folder.name
    if os.path.lexists(target):
        result.conflicts.append(f"{target} exists, and its record cannot be read: remove it, and merge again")
        return 0
    hidden = _hidden_copy(record, study)
    os.rename(hidden, target)
    return 1


def _replace(record: Record, known: Record) -> None:
    """Replace a run that has not completed. A crash leaves one of the two, or hidden folders."""
    hidden = _hidden_copy(record, known.folder.parent)
    old = known.folder.with_name(f"{_HIDDEN}old-{known.id}")
    safe_files.remove(old)
    os.rename(known.folder, old)
    os.rename(hidden, known.folder)
    safe_files.remove(old)


def _hidden_copy(record: Record, study: Path) -> Path:
    """Copy the plain files of a run to a hidden folder of a study, the record last, while its ID is locked."""
    hidden = study / f"{_HIDDEN}{record.id}"
    safe_files.remove(hidden)
    shutil.copytree(record.folder, hidden, ignore=_ignored)
    return hidden


def _ignored(folder: str, names: list[str]) -> list[str]:
    """Return the entries of a folder that are neither plain files nor folders."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [name for name, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))]


def _merge_looks(source: Path, target: Path) -> None:
    """Add the looks at a study to those at another, so that the error rates they spent stay spent."""
    with contextlib.suppress(FileNotFoundError):
        new = safe_files.read(source / LOOKS, LOOKS_BYTES)
        known: bytes = b""
        with contextlib.suppress(FileNotFoundError):
            known = safe_files.read(target / LOOKS, LOOKS_BYTES)
        lines = set(known.splitlines())
        missing = [line for line in new.splitlines() if line not in lines]
        if missing:
            start = b"" if not known or known.endswith(b"\n") else b"\n"
            safe_files.append(target / LOOKS, start + b"".join(line + b"\n" for line in missing))


def _merge_tuning(name: str, source: Path, target: Path, result: Merged) -> None:
    """Merge the trials of a study, and the results of its tuning."""
    if not source.is_dir() or safe_files.is_link(source):
        return
    safe_files.refuse_links(target.parent, TRIALS)
    target.mkdir(exist_ok=True)
    trials = Merged(conflicts=result.conflicts, left_out=result.left_out)  # which are counted by themselves
    result.trials += _merge_runs(name, source, read_all(source, result.left_out), target, trials)
    for path in sorted(source.glob("*.json")):
        content, to = safe_files.read(path, TUNING_BYTES), target / path.name
        if not os.path.lexists(to):
            safe_files.write_file(to, content)
        elif safe_files.read(to, TUNING_BYTES) != content:
            result.conflicts.append(f"tuning {path.stem}: other trials in {name}; the first is kept")
