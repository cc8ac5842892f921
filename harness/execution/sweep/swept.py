"""The keys that a sweep varies, with the value of each in a run, and the command that launched it.

They are kept in the records, so that a report knows what was compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.config.overrides import GROUPS, parse
from harness.registry.catalogue import Catalogue
from harness.registry.kinds import AUTO, KINDS
from harness.results.levels import MISSING, setting
from harness.system import session


def varied_keys(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return the keys whose overrides differ between the jobs of a sweep, in the order in which they were typed.

    Args:
        jobs: The overrides of each job. A key that only some jobs set differs.

    >>> varied_keys([["seed=0", "optimizer=sgd", "epochs=2"], ["seed=0", "optimizer=adam", "epochs=2"]])
    ['optimizer']
    """
    texts: dict[str, set[str]] = {}
    set_by: Counter[str] = Counter()
    for job in jobs:
        for key, text in keys_and_texts(job):
            texts.setdefault(key, set()).add(text)
            set_by[key] += 1
    return [key for key, different in texts.items() if len(different) > 1 or set_by[key] < len(jobs)]


def keys_and_texts(overrides: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each key that overrides set, with the text of its value; `optimizer={lr:0.1}` sets optimizer.lr."""
    for text in overrides:
        key, _, value = text.partition("=")
        key = key.lstrip("+~").strip()
        if value.lstrip().startswith("{"):
            yield from _inner(key, parse([text])[0].value())
        else:
            yield key, value


def _inner(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _inner(f"{key}.{name}", inner)
    else:
        yield key, repr(value)


def swept_values(
    keys: Sequence[str], overrides: Sequence[str], config: dict[str, Any], known: Catalogue
) -> dict[str, Any]:
    """Return the values of swept keys in one run; a key that the run does not have is left out.

    Args:
        keys: The swept keys.
        overrides: The overrides of the run.
        config: Its resolved config.
        known: The installed components.

    Returns:
        The values in the config. For an experiment or a preset, which are no part of the config, the name that was
        typed; for a list kind a list of names.
    """
    texts = {text.partition("=")[0].lstrip("+"): text for text in overrides}
    values = {}
    for key in keys:
        value = setting(config, key)
        if key in GROUPS and key in texts:
            typed = _choice(texts[key])
            names = typed if isinstance(typed, list) else [typed]
            components = {AUTO, *known.entries[key]} if key in KINDS else {}
            if value is MISSING or any(name not in components for name in names):
                value = typed
        if value is not MISSING:
            values[key] = value
    return values


def _choice(text: str) -> Any:
    """Return the name or the names that an override chooses; a name that looks like a number stays a text."""
    (override,) = parse([text])
    value = override.value()
    if isinstance(value, list):
        return [str(name) for name in value]
    return value if value is None or isinstance(value, str) else override.get_value_string().strip()


@dataclass
class _Launch:
    """The command of the sweep that goes on in a session."""

    command: str = ""


@contextmanager
def launched_by(command: str) -> Iterator[None]:
    """Context in which the runs of a sweep are launched by a command.

    It cannot be passed as an argument: Hydra calls the functions that train.
    """
    launch = session.state(_Launch)
    before, launch.command = launch.command, command
    try:
        yield
    finally:
        launch.command = before


def current_command() -> str:
    """Return the command that launched the sweep; empty in a process that another launcher of Hydra's started."""
    return session.state(_Launch).command
