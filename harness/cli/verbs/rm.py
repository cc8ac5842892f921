"""Removes the runs of a study that pass every filter, with all that they left."""

from __future__ import annotations

import argparse
import contextlib
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
from harness.system.errors import HarnessError, suggest
from harness.system.escape import printable

LISTED = 20
_REMOVED = ".removed-"  # hidden: no reader of the study sees it, and what is left of it goes at the next rm

Filters = dict[str, list[Any]]  # {key: the values of which one must stand there}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY")
    what = "KEY=VALUE[,VALUE...] of the config; status=failed,interrupted; id=PREFIX"
    parser.add_argument("filter", nargs="*", metavar="FILTER", help=what)
    parser.add_argument("--all", action="store_true", help="every run of the study")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    if args.all and args.filter:
        raise HarnessError(f"harness rm: --all takes no filter, got {args.filter[0]}")
    if not args.all and not args.filter:
        raise HarnessError("harness rm wants a filter, as optimizer=sgd or status=failed; --all removes every run")
    filters = parse(args.filter)
    root = study_folder(args.study)
    if root.is_symlink() and root.name != OUTPUTS:
        raise HarnessError(f"{root} is a link, and nothing is removed through one: harness rm {root.resolve()}")
    if (root / FILE).exists():
        raise HarnessError(f"{root} is one run: harness rm {root.parent} id={root.name[-12:]}")
    records = load(root)
    check(filters, records, args.study)
    passing = [record for record in records if passes(record, filters)]
    chosen = [record for record in passing if not _alive(record)]
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    if chosen and not args.yes and not asks:
        raise HarnessError(f"harness rm would remove {len(chosen)} runs: say --yes, there is no terminal to ask on")
    if len(passing) > len(chosen):
        print(f"{len(passing) - len(chosen)} runs stay: a process trains them")
    print("".join(f"{printable(line)}\n" for line in listing(chosen)), end="")
    if chosen and not args.yes and not _agreed(f"remove {len(chosen)} runs? [y/N] "):
        chosen = []
    for study in sorted({root, *(record.folder.parent for record in records)}):
        _sweep(study)
    print(f"removed {sum(_remove_all(study, filters, chosen) for study in {r.folder.parent for r in chosen})} runs")
    return 0


def parse(words: Sequence[str]) -> Filters:
    """Filters as they are typed. Values are read as Hydra reads them, statuses and ids as they stand.

    >>> parse(["optimizer.lr=1e-3,0.1", "id=0012"])
    {'id': ['0012'], 'optimizer.lr': [0.001, 0.1]}
    """
    filters: Filters = {}
    typed = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not re.fullmatch(r"\w[\w.]*", key):
            raise HarnessError(f"{word!r} is no filter: a filter is KEY=VALUE, as optimizer=sgd or status=failed")
        if key not in ("status", "id"):
            typed.append(word)
        elif key in filters:
            raise HarnessError(f"{key} is given twice: {key}={','.join(filters[key])} and {word}")
        elif not all(values := text.split(",")):
            raise HarnessError(f"{word!r}: a value is missing")
        else:
            filters[key] = values
    return filters | _as_hydra(typed)


def _as_hydra(words: list[str]) -> Filters:
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
            raise HarnessError(f"{override.input_line}: a filter takes values, as {override.get_key_element()}=a,b")
        filters[override.get_key_element()] = [v.text if isinstance(v, QuotedString) else v for v in values]
    return filters


def check(filters: Filters, records: Sequence[Record], study: str) -> None:
    """Raises HarnessError for a status that there is not, and for a key that no run has."""
    for status in filters.get("status", []):
        if status not in STATUSES:
            raise HarnessError(f"no status {status!r}.{suggest(status, STATUSES)}")
    if not len(records):
        raise HarnessError(f"no runs in {study}")
    asked = filters.keys() - {"status", "id"}
    known = {key for record in records for key in _settings(record)} if asked else set()
    for key in sorted(asked - known):
        raise HarnessError(f"no run in {study} has {key!r}.{suggest(key, known | {'status', 'id'})}")


def passes(record: Record, filters: Filters) -> bool:
    """Whether every filter holds."""
    held: dict[str, Any] | None = None
    for key, values in filters.items():
        if key == "status":
            holds = record.status in values
        elif key == "id":
            holds = record.id.startswith(tuple(values))
        else:
            held = _settings(record) if held is None else held
            holds = key in held and any(_same(held[key], value) for value in values)
        if not holds:
            return False
    return True


def _settings(record: Record) -> dict[str, Any]:
    """The choices too: of a list kind the config holds the components, and not the list."""
    return record.choices | flat(record.config)


def _same(held: Any, wanted: Any) -> bool:
    if isinstance(held, (list, tuple)):
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]  # regularizer=l2 is [l2], also as a choice
        return len(held) == len(wanted) and all(map(_same, held, wanted))
    if isinstance(held, bool) or isinstance(wanted, bool):
        return held is wanted  # True == 1
    if isinstance(wanted, float) and not math.isfinite(wanted):
        wanted = str(wanted)  # as a record holds it
    return bool(held == wanted)


def listing(records: Sequence[Record]) -> list[str]:
    """What would go, a line each; of many the first ones and how many more."""
    lines = [f"  {r.id}  {r.status:<11}  {r.name}" for r in records[:LISTED]]
    return [*lines, f"  and {len(records) - LISTED} more"] if len(records) > LISTED else lines


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _alive(record: Record) -> bool:
    from harness.execution.locks.run_lock import alive

    return alive(record.folder.parent, record.id)


def _remove_all(study: Path, filters: Filters, records: Sequence[Record]) -> int:
    """Removes those of a study, while no one else can begin to train them; how many."""
    from harness.execution.locks.run_lock import RunLocks

    own = [record for record in records if record.folder.parent == study]
    with RunLocks(study) as claims:
        ours = set(claims.claim(record.id for record in own))
        return sum(_remove(record, filters) for record in own if record.id in ours)


def _remove(record: Record, filters: Filters) -> bool:
    """Removes a run that is still what was listed; whether it was this call that did.

    Renamed first: a crash leaves either the whole run or a hidden folder, never a half of a run.
    """
    now = read(record.folder)
    if now is None or now.id != record.id or not passes(now, filters):
        return False
    hidden = record.folder.with_name(_REMOVED + secrets.token_hex(8))
    try:
        os.rename(record.folder, hidden)
    except FileNotFoundError:  # another rm was quicker
        return False
    except OSError as error:
        raise HarnessError(f"cannot remove {record.folder}: {error.strerror}") from error
    _delete(hidden)
    return True


def _sweep(study: Path) -> None:
    """Removes what an rm that crashed has left."""
    with contextlib.suppress(FileNotFoundError):
        for path in study.iterdir():
            ours = re.fullmatch(re.escape(_REMOVED) + "[0-9a-f]{16}", path.name)
            if ours and path.is_dir() and not path.is_symlink():
                _delete(path)


def _delete(hidden: Path) -> None:
    shutil.rmtree(hidden, ignore_errors=True)  # of what another rm removes at the same time, files are missing
    if hidden.exists():
        raise HarnessError(f"cannot remove all of {hidden}: remove it by hand")
