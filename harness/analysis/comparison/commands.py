"""The command that trained a study, and the one that adds seeds to it."""

from __future__ import annotations

import functools
import shlex
from collections import Counter
from collections.abc import Sequence

from harness.analysis.comparison.levels import is_seed
from harness.results.levels import level
from harness.results.record import Record

_GRIDS = ("hydra/sweeper=harness", "hydra/sweeper=basic")  # sweepers that train every value; others would search seeds
_SEEDS = 10  # that a study without seeds is told to sweep


def command(records: Sequence[Record]) -> str:
    """Return the command that most runs were launched by, or the empty string if it is not recorded."""
    known = Counter(record.command for record in records if record.command)
    return known.most_common(1)[0][0] if known else ""


def more_seeds(records: Sequence[Record], units: int, planned: int) -> str:
    """Return the command that trains the study with more seeds.

    It is the empty string if no more are planned, if the command is not recorded, if several commands or studies are
    compared, if another sweeper chose the runs, or if seeds of other keys vary by themselves.

    Args:
        records: The records.
        units: Number of units so far.
        planned: Number of units planned.
    """
    target, typed = _target(units, planned), command(records)
    if target <= units or not typed.startswith("harness ") or len({record.study for record in records}) > 1:
        return ""
    others = sorted({key for record in records for key in record.swept if is_seed(key) and key != "seed"})
    words = _words(typed)
    if any(_key(text) == "hydra/sweeper" and text not in _GRIDS for text in words):
        return ""
    if any(_without_seeds(record.command) != _without_seeds(typed) for record in records):
        return ""
    others += [key for text in words if is_seed(key := _key(text)) and "${seed}" in text and key not in others]
    if any(level(record, key) != record.config["seed"] for record in records for key in others):
        return ""
    seeds = sorted({int(record.config["seed"]) for record in records})
    first = seeds[0] if seeds == list(range(seeds[0], seeds[0] + len(seeds))) else 0
    numbers = f"seed=range({target})" if first == 0 else f"seed=range({first},{first + target})"
    kept = [*_without_seeds(typed), *(text for text in words if _key(text) == "zip" and "seed" not in text)]
    study = [f"study={records[0].study}"] if records[0].study != "scratch" else []
    return shlex.join(["harness", "-m", *kept, numbers, *(f"{key}=${{seed}}" for key in others), *study])


@functools.lru_cache(1024)  # the runs of a sweep share their command
def _words(command: str) -> tuple[str, ...]:
    return tuple(text for text in shlex.split(command)[1:] if text != "-m")


@functools.lru_cache(1024)
def _without_seeds(command: str) -> tuple[str, ...]:
    """Return the overrides of a command that say what is trained, without its seeds."""
    return tuple(text for text in _words(command) if _key(text) not in ("study", "zip") and not is_seed(_key(text)))


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def _target(units: int, planned: int) -> int:
    """Return the next number of units: 10 at first, then all that are planned."""
    return min(_SEEDS, planned) if units < 2 else planned
