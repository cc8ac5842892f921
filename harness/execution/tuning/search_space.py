"""Find the space that is searched for a contestant of a sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.execution.sweep.swept import keys_and_texts
from harness.registry.catalogue import Catalogue, entry_parameters
from harness.registry.kinds import AUTO, KEY, KINDS, NONE, TUNED
from harness.registry.param_types import space_of
from harness.results.levels import MISSING, setting
from harness.space import Space, parse_space
from harness.system.errors import HarnessError, suggest


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched.

    Attributes:
        space: Its space.
        draw: The name under which its values are drawn. It does not hold the component's name, so that contestants
            that differ in a component are tried with the same shares of their spaces.
    """

    space: Space
    draw: str


def swept_kinds(swept: Iterable[str]) -> list[str]:
    """Return the kinds among swept keys whose settings may be tuned."""
    return [key for key in swept if key in TUNED]


def declared(values: Mapping[str, Any], kinds: Iterable[str], known: Catalogue) -> dict[str, Dimension]:
    """Return the spaces that the components of a config declare, by key.

    Args:
        values: The composed config.
        kinds: The kinds that are searched.
        known: The installed components.
    """
    found = {}
    for kind in kinds:
        nodes = values[kind].items() if KINDS[kind].many else [("", values[kind])]
        for place, (name, node) in enumerate(nodes):
            if node[KEY] in (AUTO, NONE) and node[KEY] not in known.entries[kind]:
                continue
            path = f"{kind}.{name}" if name else kind
            for p in entry_parameters(known.get(kind, node[KEY])):
                space = space_of(p.hint)
                if space is not None:
                    found[f"{path}.{p.name}"] = Dimension(space, f"{kind}.{place}.{p.name}")
    return found


def search_space(
    values: Mapping[str, Any], overrides: Sequence[str], kinds: Collection[str], known: Catalogue
) -> dict[str, Dimension]:
    """Return the space that is searched for a contestant. A setting that was typed is not searched.

    Args:
        values: The composed config of one of its runs.
        overrides: The overrides of the run.
        kinds: The kinds whose declared spaces are searched.
        known: The installed components.

    Raises:
        HarnessError: If a setting has both a value and a space on the command line.
    """
    typed = {key: text for text in overrides for key, _ in keys_and_texts([text])}
    found = {key: d for key, d in declared(values, kinds, known).items() if key not in typed}
    for key, text in values["tune"]["space"].items():
        if key in typed:
            raise HarnessError(
                f"tune.space.{key}: {typed[key]} sets the value that is to be searched; leave one of them out"
            )
        if setting(dict(values), key) is not MISSING:
            found[key] = Dimension(parse_space(text), found[key].draw if key in found else key)
    return found


def check_spaces(contestants: Sequence[Mapping[str, Any]], kinds: Iterable[str], known: Catalogue) -> None:
    """Refuse a space for a setting that no contestant has.

    Args:
        contestants: The config of one run of each contestant.
        kinds: The kinds that are searched.
        known: The installed components.

    Raises:
        HarnessError: If there is such a space.
    """
    for key in {key: None for values in contestants for key in values["tune"]["space"]}:
        if all(setting(dict(values), key) is MISSING for values in contestants):
            near = [name for values in contestants for name in declared(values, kinds, known)]
            raise HarnessError(f"tune.space.{key}: no contestant has this setting.{suggest(key, sorted(set(near)))}")
