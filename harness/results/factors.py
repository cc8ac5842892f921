"""Find the factors of a study: the choices, settings and seeds that its runs compare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.registry.kinds import KEY, KINDS
from harness.results.levels import MISSING, as_level, distinct, is_list_kind, level, swept_keys
from harness.results.run_id import changes_result

if TYPE_CHECKING:
    from harness.results.record import Record

SEEDS = ("seed", "split.seed")
Columns = Mapping[str, Sequence[Any]]  # for each key the value of every run


def factors(records: Sequence[Record], different: Mapping[str, list[Any]] | None = None) -> dict[str, list[Any]]:
    """Return the factors of some runs, each with its levels in natural order.

    Factors are the keys that a sweep varied, and the seeds. A key that no sweep varied is a factor if it differs and

    - was typed, unless it is a setting of a component that is constant for each choice of the component; or
    - was not typed, but differs between runs that agree in all factors: a default of another version, a preset.

    Keys that do not change the result, keys that do not differ in these runs, and settings that tuning chose are no
    factors. A run that does not have a setting adds no level to it.

    Args:
        records: The records of the runs.
        different: The result of `differing`, if it is known: it takes a second for ten thousand runs.
    """
    swept = swept_keys(records)
    tuned = {key for record in records for key in record.tuning.get("settings", ())}
    columns = {key: [level(record, key) for record in records] for key in dict.fromkeys([*swept, *SEEDS])}
    found = {key: values for key, values in columns.items() if changes_result(key) and _varies(values)}
    others = {
        key: values
        for key, values in (differing(records) if different is None else different).items()
        if key not in columns and key not in tuned and changes_result(key) and _varies(values)
    }
    names = "\n".join(record.name for record in records)
    untyped = {}
    for key, values in others.items():
        kind = key.partition(".")[0]
        if key != kind and kind in KINDS and not is_list_kind(kind):
            choices = [level(record, kind) for record in records]
            if _determines([choices], values):
                continue
        if _is_typed(key, names):
            found[key] = values
        else:
            untyped[key] = values
    for key in sorted(untyped, key=lambda key: key not in KINDS):  # choices explain the settings that come with them
        if not _determines(list(found.values()), untyped[key]):
            found[key] = untyped[key]
    return {key: distinct(values) for key, values in found.items()}


def differing(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the keys of the config that differ between runs, each with the level of every run.

    A key that only some runs have differs.

    Args:
        records: The records of the runs.
    """
    columns: dict[str, list[Any]] = {}
    configs = [record.config for record in records]
    tops = dict.fromkeys(key for config in configs for key in config)
    different: set[str] = set()
    for config in configs:
        same = [key for key in tops if key not in different]
        different.update(key for key in same if config.get(key, MISSING) != configs[0].get(key, MISSING))
    for top in filter(different.__contains__, tops):
        rows = [dict(_leaves(top, config.get(top, MISSING))) for config in configs]
        for key in dict.fromkeys(key for row in rows for key in row):
            values = [row.get(key, MISSING) for row in rows]
            if any(value is MISSING for value in values) or _varies(values):
                columns[key] = values
    return columns


def _leaves(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a node of a config with their levels: a kind's choice first, then the settings."""
    if not isinstance(node, dict):
        if node is not MISSING:
            yield key, as_level(key, node)
        return
    if is_list_kind(key):
        yield key, as_level(key, list(node))
    elif KEY in node and not is_list_kind(key.rpartition(".")[0]):  # the name in a list is in the kind's own level
        yield key, node[KEY]
    for name, inner in node.items():
        if name != KEY:
            yield from _leaves(f"{key}.{name}", inner)


def _varies(values: Sequence[Any]) -> bool:
    return len(distinct(values)) > 1


def _is_typed(key: str, names: str) -> bool:
    """Return True if an override in the names of runs sets a key to a value, and not to that of another key."""
    return re.search(rf"(?:^|,){re.escape(key)}=(?!\$\{{)", names, re.MULTILINE) is not None


def _determines(factors: Sequence[Sequence[Any]], values: Sequence[Any]) -> bool:
    """Return True if runs that agree in some factors agree in a value, as far as they have it."""
    of_cell: dict[tuple[Any, ...], Any] = {}
    for *cell, value in zip(*factors, values, strict=True):
        if value is not MISSING and of_cell.setdefault(tuple(cell), value) != value:
            return False
    return True
