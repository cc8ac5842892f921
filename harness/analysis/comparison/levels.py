"""Read what was compared from records: factors and their levels, arms and their names, data sets, units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from harness.config.settings import NOT_IDENTITY
from harness.registry.kinds import KINDS
from harness.results.record import Record, Records, flat
from harness.system.errors import HarnessError, shown, suggest

_NOT_COMPARED = ("diagnostic", "logger", "metric", "executor", "trainer")  # kinds that do not change the trained model
_SPLIT_SEED = "split.seed"


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
    values = [_levels(record) for record in records]
    for condition in where:
        keep = _matching(condition, values)
        records = [record for record, kept in zip(records, keep, strict=True) if kept]
        values = [level for level, kept in zip(values, keep, strict=True) if kept]
    found = Records(records).factors()
    seeds = [key for key in found if is_seed(key)]
    data = [key for key in found if _names_data(key, found[key])]
    factors = [key for key in found if key not in seeds and key not in data]
    factors += _hidden(records, values, [*factors, *seeds, *data])
    known = _varying(values)
    if by is not None:
        for key in by:
            if key == "data":
                raise HarnessError("--by data: each data set is compared by itself, and data sets are no arms")
            if is_seed(key):
                raise HarnessError(f"--by {key}: seeds pair the runs of the arms, and are no factor")
            if key not in known:
                why = "has one value in this study" if any(key in level for level in values) else "is no factor"
                raise HarnessError(f"--by {key}: it {why}.{suggest(key, factors or known)}")
    arms = list(by) if by is not None else factors
    rest = [key for key in factors if key not in arms]
    name = namer(arms, values)
    data_name = _data_namer([key for key in data if key not in arms], values)
    runs = [
        Run(
            record,
            data_name(level),
            name(level),
            {key: level.get(key) for key in arms},
            tuple(level.get(key) for key in rest),
            {key: level.get(key) for key in seeds},
        )
        for record, level in zip(records, values, strict=True)
    ]
    levels = {key: _ordered([level.get(key) for level in values]) for key in arms}
    return Layout(runs, levels, seeds, _confounded(records, values, runs, [*arms, *rest]))


def is_seed(key: str) -> bool:
    """Return True if a key pairs runs: `seed`, `split.seed`, or the seed of a component."""
    return key.rpartition(".")[2] == "seed"


def _levels(record: Record) -> dict[str, Any]:
    """Return every choice and setting of a run that may be a factor; a list of components as "l2+dropout"."""
    levels: dict[str, Any] = {}
    for key, value in flat(record.config).items():
        kind = key.partition(".")[0]
        if key not in NOT_IDENTITY and kind not in _NOT_COMPARED:
            levels[key] = value
    for kind, choice in record.choices.items():
        if kind not in _NOT_COMPARED:
            levels[kind] = choice if isinstance(choice, str) else "+".join(choice) or "none"
    return levels


def _varying(values: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for level in values for key in level)
    return [key for key in keys if len({repr(level.get(key)) for level in values}) > 1]


def _ordered(levels: Sequence[Any]) -> list[Any]:
    distinct = {repr(level): level for level in levels}.values()
    numbers = all(isinstance(level, int | float) for level in distinct)
    return sorted(distinct) if numbers else list(distinct)


def _names_data(key: str, levels: Sequence[Any]) -> bool:
    """Return True if a key names the data set: the choice, or a text among its settings such as a path."""
    kind, _, setting = key.partition(".")
    return kind == "data" and (not setting or any(isinstance(level, str) for level in levels))


def _hidden(records: Sequence[Record], values: Sequence[Mapping[str, Any]], known: Sequence[str]) -> list[str]:
    """Return keys by which runs differ that are equal in every factor, as after two sweeps with different epochs."""
    cells: dict[str, list[int]] = {}
    for index, level in enumerate(values):
        cells.setdefault(repr([level.get(key) for key in known]), []).append(index)
    hidden: dict[str, None] = {}
    for indices in cells.values():
        if len(indices) > 1:
            hidden |= dict.fromkeys(_varying([values[index] for index in indices]))
    choices = [key for key in hidden if key in KINDS]
    return [key for key in hidden if key in choices or key.partition(".")[0] not in choices]


def _confounded(
    records: Sequence[Record], values: Sequence[Mapping[str, Any]], runs: Sequence[Run], factors: Sequence[str]
) -> list[str]:
    """Return a note for each top-level setting that differs with the arms, without being a factor."""
    notes = []
    for key in _varying(values):
        if key in factors or is_seed(key) or (key.partition(".")[0] in KINDS):
            continue
        of: dict[str, set[str]] = {}
        for run, level in zip(runs, values, strict=True):
            of.setdefault(run.arm, set()).add(shown(level.get(key)))
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
    words = Counter(word for key in factors for word in {str(level.get(key)) for level in values})

    def name(level: Mapping[str, Any]) -> str:
        parts = []
        for key in factors:
            value, short = level.get(key), key.rpartition(".")[2]
            if value is None and key not in level:
                continue
            if key in KINDS and words[str(value)] == 1:
                parts.append(str(value))
            else:
                text = value if isinstance(value, str) else shown(value)
                parts.append(f"{short if last[short] == 1 else key}={text}")
        return ",".join(parts) or "all runs"

    return name


def _data_namer(keys: Sequence[str], values: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], str]:
    settings = [key for key in keys if key != "data"]

    def name(level: Mapping[str, Any]) -> str:
        texts = [PurePath(str(level[key])).stem for key in settings if level.get(key) is not None]
        return ",".join(texts) if texts else str(level.get("data"))

    names: dict[str, set[str]] = {}
    for level in values:
        names.setdefault(name(level), set()).add(repr([level.get(key) for key in ("data", *settings)]))
    if all(len(different) == 1 for different in names.values()):
        return name
    return lambda level: ",".join(str(level.get(key)) for key in ("data", *settings) if level.get(key) is not None)


def _matching(condition: str, values: Sequence[Mapping[str, Any]]) -> list[bool]:
    key, equals, text = condition.partition("=")
    if not equals:
        raise HarnessError(f"--where {condition}: write KEY=VALUE")
    if not any(key in level for level in values):
        raise HarnessError(f"--where {condition}: no run has {key!r}.{suggest(key, list(values[0]) if values else [])}")
    keep = [_equal(level.get(key), text) for level in values]
    if not any(keep):
        levels = [str(level) for level in _ordered([level.get(key) for level in values])]
        raise HarnessError(f"--where {condition}: no run has this value; {key} is {', '.join(levels[:8])}")
    return keep


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
