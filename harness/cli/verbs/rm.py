"""Remove the runs of a study that pass a filter.

Runs that pass every filter are removed with their folders, and no other folder.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import math
import os
import re
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.results.record import FILE, STATUSES, Record, flat, read
from harness.results.study import OUTPUTS, load, study_folder
from harness.system.errors import HarnessError, owner_of, suggest
from harness.system.escape import printable

MAX_LISTED = 20
_REMOVED = ".removed-"  # prefix of a hidden folder, which readers ignore and the next rm deletes if it is left

Filters = dict[str, list[Any]]  # {key: values, of which a run must have one}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY")
    forms = "KEY=VALUE[,VALUE...] of the config; status=failed,interrupted; id=PREFIX"
    parser.add_argument("filter", nargs="*", metavar="FILTER", help=forms)
    parser.add_argument("--all", action="store_true", help="remove every run of the study")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the removed runs as JSON")


def run(args: argparse.Namespace) -> int:
    if args.all and args.filter:
        raise HarnessError(f"harness rm: --all takes no filter, got {args.filter[0]}")
    if not args.all and not args.filter:
        raise HarnessError("harness rm needs a filter, such as optimizer=sgd or status=failed; --all removes every run")
    filters = parse_filters(args.filter)
    root = study_folder(args.study)
    if root.is_symlink() and root.name != OUTPUTS:
        raise HarnessError(f"{root} is a link, which rm does not follow: harness rm {root.resolve()}")
    if (root / FILE).exists():
        raise HarnessError(f"{root} is a run, not a study: harness rm {root.parent} id={root.name[-12:]}")
    records = load(root)
    check_filters(filters, records, args.study)
    passing = [record for record in records if passes(record, filters)]
    chosen = [record for record in passing if not _alive(record)]
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if chosen and not args.yes and (args.json or not interactive):
        raise HarnessError(f"harness rm would remove {len(chosen)} runs: add --yes, nobody can be asked")
    kept = len(passing) - len(chosen)
    if not args.json:
        if kept:
            print(f"{kept} runs are kept: a process is training them")
        print("".join(f"{printable(line)}\n" for line in listing(chosen)), end="")
    if chosen and not args.yes and not _confirm(f"remove {len(chosen)} runs? [y/N] "):
        chosen = []
    for study in sorted({root, *(record.folder.parent for record in records)}):
        _delete_leftovers(study)
    removed = [run for study in {r.folder.parent for r in chosen} for run in _remove_all(study, filters, chosen)]
    if args.json:
        print(json.dumps({"removed": [{"id": run.id, "name": run.name} for run in removed], "kept": kept}, indent=1))
    else:
        print(f"removed {len(removed)} runs")
    return 0


def parse_filters(words: Sequence[str]) -> Filters:
    """Parse filters as typed. Values are parsed by Hydra's grammar, statuses and IDs are kept as text.

    Raises:
        HarnessError: If a word is not a filter.

    >>> parse_filters(["optimizer.lr=1e-3,0.1", "id=0012"])
    {'id': ['0012'], 'optimizer.lr': [0.001, 0.1]}
    """
    filters: Filters = {}
    typed = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not re.fullmatch(r"\w[\w.]*", key):
            raise HarnessError(f"{word!r} is not a filter: write KEY=VALUE, such as optimizer=sgd or status=failed")
        if key not in ("status", "id"):
            typed.append(word)
        elif key in filters:
            raise HarnessError(f"{key} is given twice: {key}={','.join(filters[key])} and {word}")
        elif not all(values := text.split(",")):
            raise HarnessError(f"{word!r}: a value is missing")
        else:
            filters[key] = values
    return filters | _parse_with_hydra(typed)


def _parse_with_hydra(words: list[str]) -> Filters:
    if not words:
        return {}
    from hydra.core.override_parser.types import ChoiceSweep, QuotedString, RangeSweep

    from harness.config import overrides

    filters: Filters = {}
    for override in overrides.parse(words, sweep=True):
        if not override.is_sweep_override():
            values = [override.value()]
        elif isinstance(override.value(), (ChoiceSweep, RangeSweep)):
            values = list(override.sweep_iterator())
        else:
            raise HarnessError(f"{override.input_line}: a filter takes values: {override.get_key_element()}=a,b")
        filters[override.get_key_element()] = [v.text if isinstance(v, QuotedString) else v for v in values]
    return filters


def check_filters(filters: Filters, records: Sequence[Record], study: str) -> None:
    """Check filters against the runs of a study.

    Raises:
        HarnessError: If a status does not exist, if there is no run, or if no run has a key.
    """
    for status in filters.get("status", []):
        if status not in STATUSES:
            raise HarnessError(f"no status {status!r}.{suggest(status, STATUSES)}")
    if not len(records):
        raise HarnessError(f"no runs in {study}")
    keys = filters.keys() - {"status", "id"}
    known = {key for record in records for key in _settings(record)} if keys else set()
    for key in sorted(keys - known):
        raise HarnessError(f"no run in {study} has {key!r}.{suggest(key, known | {'status', 'id'})}")


def passes(record: Record, filters: Filters) -> bool:
    """Return True if a run passes every filter."""
    settings: dict[str, Any] | None = None
    for key, values in filters.items():
        if key == "status":
            holds = record.status in values
        elif key == "id":
            holds = record.id.startswith(tuple(values))
        else:
            settings = _settings(record) if settings is None else settings
            holds = key in settings and any(_same(settings[key], value) for value in values)
        if not holds:
            return False
    return True


def _settings(record: Record) -> dict[str, Any]:
    """Return the settings of a run, with its choices: for a kind that takes a list, the config has no list."""
    return record.choices | flat(record.config)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, (list, tuple)):
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]  # regularizer=l2 means [l2]
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted  # since True == 1
    if isinstance(wanted, float) and not math.isfinite(wanted):
        wanted = str(wanted)  # a record holds nan and inf as text
    return bool(value == wanted)


def listing(records: Sequence[Record]) -> list[str]:
    """Return a line for each run to remove, or for the first ones with the number of the others."""
    lines = [f"  {r.id}  {r.status:<11}  {r.name}" for r in records[:MAX_LISTED]]
    return [*lines, f"  and {len(records) - MAX_LISTED} more"] if len(records) > MAX_LISTED else lines


def _confirm(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _alive(record: Record) -> bool:
    from harness.execution.locks.run_lock import alive

    return alive(record.folder.parent, record.id)


def _remove_all(study: Path, filters: Filters, records: Sequence[Record]) -> list[Record]:
    """Remove runs of a study while holding their locks, so that nobody can train them; return those removed."""
    from harness.execution.locks.run_lock import RunLocks

    runs = [record for record in records if record.folder.parent == study]
    with RunLocks(study) as locks:
        locked = set(locks.claim(record.id for record in runs))
        return [record for record in runs if record.id in locked and _remove(record, filters)]


def _remove(record: Record, filters: Filters) -> bool:
    """Remove a run that has not changed since it was listed; return True if this call removed it.

    The folder is renamed first, so that a crash leaves either the whole run or a hidden folder.
    """
    now = read(record.folder)
    if now is None or now.id != record.id or not passes(now, filters):
        return False
    hidden = record.folder.with_name(_REMOVED + secrets.token_hex(8))
    try:
        os.rename(record.folder, hidden)
    except FileNotFoundError:  # another rm has removed it
        return False
    except OSError as error:
        sticky = error.errno == errno.EPERM  # of a study with the sticky bit, in which each removes their own runs
        why = f"it belongs to {owner_of(record.folder)}, who alone may remove it" if sticky else ""
        raise HarnessError(f"cannot remove {record.folder}: {why or error.strerror}") from error
    _delete(hidden)
    return True


def _delete_leftovers(study: Path) -> None:
    """Delete the hidden folders that a crashed rm has left."""
    with contextlib.suppress(FileNotFoundError):
        for path in study.iterdir():
            hidden = re.fullmatch(re.escape(_REMOVED) + "[0-9a-f]{16}", path.name)
            if hidden and path.is_dir() and not path.is_symlink():
                _delete(path)


def _delete(hidden: Path) -> None:
    shutil.rmtree(hidden, ignore_errors=True)  # another rm may delete the same files
    if hidden.exists():
        raise HarnessError(f"cannot remove all files in {hidden}: remove it by hand")
