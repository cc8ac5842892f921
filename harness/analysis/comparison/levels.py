"""Read what was compared from records: factors and their levels, arms and their names, data sets, units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from harness.registry.kinds import KINDS
from harness.results.factors import differing
from harness.results.factors import factors as find_factors
from harness.results.levels import MISSING, distinct, level
from harness.results.record import Record, Records
from harness.results.run_id import changes_result
from harness.system.errors import HarnessError, shown, suggest


@dataclass(frozen=True)
class Run:
    """A run by what it varies.

    Attributes:
        record: Its record.
        data: Name of its data set.
        arm: Name of its arm.
        levels: Level of each factor.
        rest: Levels of the factors that the comparison averages over.
        seeds: Values of the keys that differ with the units.
    """

    record: Record
    data: str
    arm: str
    levels: Mapping[str, Any]
    rest: tuple[Any, ...]
    seeds: Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """The runs of a study by data set, arm and unit.

    Attributes:
        runs: The runs.
        factors: Factors that make the arms, with their levels.
        varied: Keys of seeds that vary.
        notes: Lines that a reader should know.
    """

    runs: Sequence[Run]
    factors: Mapping[str, Sequence[Any]]
    varied: Sequence[str]
    notes: Sequence[str]


def layout(records: Sequence[Record], by: Sequence[str] | None = None, where: Sequence[str] = ()) -> Layout:
    """Return the runs of a study by data set, arm and unit.

    Args:
        records: The records.
        by: Keys that make the arms; None for all factors.
        where: Conditions KEY=VALUE that runs must meet.

    Raises:
        HarnessError: If a key is unknown, or no run meets the conditions.
    """
    for condition in where:
        records = _matching(condition, records)
    different = differing(records)
    found = find_factors(records, different)
    seeds = [key for key in found if is_seed(key)]
    data = [key for key in found if _names_data(key, found[key])]
    factors = [key for key in found if key not in seeds and key not in data]
    if by is not None:
        _check_by(by, records, factors, different)
    arms = factors if by is None else list(by)
    rest = [key for key in factors if key not in arms]
    values = [
        {key: x for key in (*arms, *rest, *data, *seeds, "data") if (x := level(record, key)) is not MISSING}
        for record in records
    ]
    name, data_name = namer(arms, values), _data_namer(data, values)
    runs = [
        Run(
            record,
            data_name(levels),
            name(levels),
            {key: levels[key] for key in arms if key in levels},
            tuple(levels.get(key) for key in rest),
            {key: levels.get(key) for key in seeds},
        )
        for record, levels in zip(records, values, strict=True)
    ]
    notes = _confounded(runs, different, [*arms, *rest])
    runs, repeated = _last_of_each(runs)
    if repeated:
        notes.append(f"{repeated} runs were trained again with other code, data or versions: the last of each counts")
    of_arms = {key: distinct(levels.get(key, MISSING) for levels in values) for key in arms}
    return Layout(runs, of_arms, seeds, notes)


def _last_of_each(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """Return the run that was started last among those of equal settings, and the number of the others.

    Their IDs differ by code, data or versions. A run that did not end is taken only where no other did.
    """
    last: dict[str, Run] = {}
    unended = ("interrupted", "running")
    for run in sorted(
        runs, key=lambda run: (run.record.status not in unended, str(run.record.time.get("started", "")))
    ):
        last[repr((run.data, run.levels, run.rest, run.seeds))] = run
    kept = set(map(id, last.values()))
    return [run for run in runs if id(run) in kept], len(runs) - len(last)


def is_seed(key: str) -> bool:
    """Return True if a key pairs runs: `seed`, `split.seed`, or the seed of a component."""
    return key.rpartition(".")[2] == "seed"


def _check_by(
    by: Sequence[str], records: Sequence[Record], factors: Sequence[str], different: Mapping[str, object]
) -> None:
    for key in by:
        if key == "data":
            raise HarnessError("--by data: each data set is compared by itself, and data sets are no arms")
        if is_seed(key):
            raise HarnessError(f"--by {key}: seeds pair the runs of the arms, and are no factor")
        if key not in different and key not in factors:
            known = any(level(record, key) is not MISSING for record in records)
            why = "has one value in this study" if known else "is no factor"
            raise HarnessError(f"--by {key}: it {why}.{suggest(key, factors or list(different))}")


def _names_data(key: str, levels: Sequence[Any]) -> bool:
    """Return True if a key names the data set: the choice, or a text among its settings such as a path."""
    kind, _, setting = key.partition(".")
    return kind == "data" and (not setting or any(isinstance(x, str) for x in levels))


def _confounded(runs: Sequence[Run], different: Mapping[str, Sequence[Any]], factors: Sequence[str]) -> list[str]:
    """Return a note for each top-level setting that differs with the arms, without being a factor."""
    notes = []
    for key, column in different.items():
        if key in factors or is_seed(key) or key.partition(".")[0] in KINDS or not changes_result(key):
            continue
        of: dict[str, set[str]] = {}
        for run, x in zip(runs, column, strict=True):
            of.setdefault(run.arm, set()).add(shown(x))
        if len({frozenset(levels) for levels in of.values()}) > 1:
            listed = ", ".join(f"{arm} {'/'.join(sorted(levels))}" for arm, levels in list(of.items())[:4])
            notes.append(f"the arms differ in {key}, too: {listed}")
    return notes


def namer(factors: Sequence[str], values: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that names an arm by its levels.

    A choice stands by its name alone ("adam"), a setting with the last part of its key ("lr=0.1").

    Args:
        factors: The factors, in the order in which they are named.
        values: The levels of all runs.
    """
    last = Counter(key.rpartition(".")[2] for key in factors)
    words = Counter(word for key in factors for word in {str(levels.get(key)) for levels in values})

    def name(levels: Mapping[str, Any]) -> str:
        parts = []
        for key in factors:
            if key not in levels:
                continue
            value, short = levels[key], key.rpartition(".")[2]
            if key in KINDS and words[str(value)] == 1:
                parts.append(str(value))
            else:
                text = level_text(value)
                parts.append(f"{short if last[short] == 1 else key}={text}")
        return ",".join(parts) or "all runs"

    return name


def level_text(value: Any) -> str:
    """Return a level as text; a number in its shortest form.

    >>> level_text(1e10), level_text(0.05), level_text(1e-7), level_text(3), level_text("l2"), level_text(None)
    ('1e+10', '0.05', '1e-07', '3', 'l2', 'null')
    """
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value if isinstance(value, str) else shown(value)


def _data_namer(keys: Sequence[str], values: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], str]:
    settings = [key for key in keys if key != "data"]

    def short(levels: Mapping[str, Any]) -> str:
        texts = [PurePath(str(levels[key])).stem for key in settings if levels.get(key) is not None]
        return ",".join(texts) if texts else str(levels.get("data"))

    def whole(levels: Mapping[str, Any]) -> str:
        return ",".join(str(levels[key]) for key in ("data", *settings) if levels.get(key) is not None)

    names: dict[str, set[str]] = {}
    for levels in values:
        names.setdefault(short(levels), set()).add(whole(levels))
    return short if all(len(different) == 1 for different in names.values()) else whole


def _matching(condition: str, records: Sequence[Record]) -> list[Record]:
    key, equals, text = condition.partition("=")
    if not equals:
        raise HarnessError(f"--where {condition}: write KEY=VALUE")
    levels = [level(record, key) for record in records]
    if all(x is MISSING for x in levels):
        known = list(Records(records).factors())
        raise HarnessError(f"--where {condition}: no run has {key!r}.{suggest(key, known)}")
    kept = [record for record, x in zip(records, levels, strict=True) if x is not MISSING and _equal(x, text)]
    if not kept:
        listed = ", ".join(map(str, distinct(levels)[:8]))
        raise HarnessError(f"--where {condition}: no run has this value; {key} is {listed}")
    return kept


def _equal(value: Any, text: str) -> bool:
    if str(value) == text or shown(value) == text:
        return True
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == float(text)
    except ValueError:
        return False


def find_arm(name: str, runs: Sequence[Run]) -> str:
    """Return the arm that a user names: by its name, by a level that no other arm has, or by KEY=VALUE.

    Raises:
        HarnessError: If no arm or several have this name.
    """
    arms = {run.arm: run.levels for run in runs}
    if name in arms:
        return name
    wanted = [part.partition("=") for part in name.split(",")]

    def has(levels: Mapping[str, Any], key: str, equals: str, value: str) -> bool:
        if not equals:
            return any(_equal(level, key) for level in levels.values())
        return any(_equal(level, value) for k, level in levels.items() if key in (k, k.rpartition(".")[2]))

    found = [arm for arm, levels in arms.items() if all(has(levels, *part) for part in wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise HarnessError(f"--baseline {name}: several arms have it ({', '.join(found[:6])}): name one")
    raise HarnessError(f"--baseline {name}: no such arm.{suggest(name, list(arms))}")
