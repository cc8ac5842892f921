"""The command that trained a study, and the one that adds seeds to it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from harness.analysis.comparison.levels import is_seed
from harness.results.record import Record
from harness.system.errors import shown

_SEEDS = 10  # that a study without seeds is told to sweep


def command(records: Sequence[Record]) -> str:
    """Return the command that most runs were launched by, or the empty string if it is not recorded."""
    known = Counter(record.command for record in records if record.command)
    return known.most_common(1)[0][0] if known else ""


def more_seeds(records: Sequence[Record], units: int, planned: int) -> str:
    """Return the command that trains the study with more seeds, or the empty string if no more are planned.

    Args:
        records: The records.
        units: Number of units so far.
        planned: Number of units planned.
    """
    target = _target(units, planned)
    if target <= units:
        return ""
    typed = command(records)
    words = shlex.split(typed) if typed.startswith("harness ") else []
    if not words:
        return ""
    seeds = sorted({int(record.config["seed"]) for record in records})
    first = seeds[0] if seeds == list(range(seeds[0], seeds[0] + len(seeds))) else 0
    word = f"seed=range({target})" if first == 0 else f"seed=range({first},{first + target})"
    kept = [text for text in words[1:] if text != "-m" and not is_seed(text.partition("=")[0].lstrip("+"))]
    follow = [
        text for text in words[1:] if is_seed(text.partition("=")[0]) and "${seed}" in text
    ]  # split.seed=${seed} goes with the seeds
    study = [text for text in kept if text.startswith("study=")]
    kept = [text for text in kept if not text.startswith("study=")]
    if not study and records[0].study != "scratch":
        study = [f"study={shown(records[0].study)}"]
    return shlex.join(["harness", "-m", *kept, word, *follow, *study])


def _target(units: int, planned: int) -> int:
    """Return the next number of units: 10 at first, then all that are planned."""
    return min(_SEEDS, planned) if units < 2 else planned
