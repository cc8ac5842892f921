"""The value that a key has in a run, and the natural order of values and runs."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.registry.kinds import KEY, KINDS, NONE

if TYPE_CHECKING:
    from harness.results.record import Record

MISSING: Final = object()  # the value of a setting that a run does not have; null is a value
_NUMBER = re.compile(r"((?:(?<![\w.)\]])-)?(?:\d+(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][+-]?\d+)?)")


def setting(config: dict[str, Any], key: str) -> Any:
    """Return the value of a key in a config: for a choice the component's name, for a list kind a list of names.

    Args:
        config: The resolved config of a run.
        key: The key, with dots.

    Returns:
        The value, or MISSING if the config does not have the key.

    >>> config = {"optimizer": {"_component_": "sgd", "lr": 0.1}, "regularizer": {"l2": {"_component_": "l2"}}}
    >>> setting(config, "optimizer"), setting(config, "optimizer.lr"), setting(config, "regularizer")
    ('sgd', 0.1, ['l2'])
    """
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return MISSING
        node = node[part]
    if not isinstance(node, dict):
        return node
    return list(node) if is_list_kind(key) else node.get(KEY, MISSING)


def is_list_kind(key: str) -> bool:
    """Return True if a key chooses a list of components.

    >>> is_list_kind("regularizer"), is_list_kind("regularizer.l2"), is_list_kind("optimizer")
    (True, False, False)
    """
    return key in KINDS and KINDS[key].many


def level(record: Record, key: str) -> Any:
    """Return a run's level of a factor: the value of a key in a form that can be compared and hashed.

    A choice that a sweep varied has the name that was typed, which may be that of a preset.

    Args:
        record: The record of the run.
        key: A key of the config.

    Returns:
        The value, or MISSING. The names of a list kind are joined: "none", "l2", "l2+dropout".
    """
    value = record.swept_values[key] if key in record.swept_values else setting(record.config, key)
    return as_level(key, value)


def as_level(key: str, value: Any) -> Any:
    """Return a value of a key in a form that can be compared and hashed.

    >>> as_level("regularizer", ["l2", "dropout"]), as_level("regularizer", []), as_level("optimizer.betas", [0.9, 1])
    ('l2+dropout', 'none', (0.9, 1))
    """
    if isinstance(value, dict):
        return repr(value)
    if not isinstance(value, (list, tuple)):
        return value
    if is_list_kind(key) or key == "experiment":
        return "+".join(map(str, value)) or NONE
    return tuple(as_level("", item) for item in value)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return the different values in natural order, without those that are missing.

    >>> distinct([10, 2, 10, MISSING, 0.5])
    [0.5, 2, 10]
    """
    different = {(isinstance(value, bool), value): value for value in values if value is not MISSING}
    return sorted(different.values(), key=natural_key)


def natural_key(value: Any) -> tuple[Any, ...]:
    """Return the key that sorts values naturally: numbers by value, texts with numbers in them compared as numbers.

    >>> sorted(["seed=10", "seed=2", "lr=1e-3", "lr=1e-4"], key=natural_key)
    ['lr=1e-4', 'lr=1e-3', 'seed=2', 'seed=10']
    >>> sorted(["sgd", 10, None, 2.5, (0.9, 0.99), True], key=natural_key)
    [None, True, 2.5, 10, 'sgd', (0.9, 0.99)]
    """
    if value is None or value is MISSING:
        return (0,)
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, (int, float)):
        return (2, value) if value == value else (2, math.inf, "nan")
    if isinstance(value, (list, tuple)):
        return 4, tuple(natural_key(item) for item in value)
    return 3, *_natural_text(str(value))


@functools.lru_cache(4096)  # runs of a study share most of their values
def _natural_text(text: str) -> tuple[tuple[Any, ...], str]:
    parts = _NUMBER.split(text)  # texts and numbers alternate
    return tuple(float(part) if place % 2 else part for place, part in enumerate(parts)), text


def swept_keys(records: Iterable[Record]) -> list[str]:
    """Return the keys that the sweeps of some runs varied, in the order in which they were typed."""
    return list(dict.fromkeys(key for record in records for key in record.swept))


def in_natural_order(records: Sequence[Record]) -> list[Record]:
    """Sort runs by their study, by their values of the swept keys, and by their names."""
    keys = swept_keys(records)

    def order(record: Record) -> tuple[Any, ...]:
        values = tuple(natural_key(level(record, key)) for key in keys)
        return natural_key(str(record.folder.parent)), values, natural_key(record.name)

    return sorted(records, key=order)
