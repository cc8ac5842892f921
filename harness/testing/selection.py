"""Choose the components to check, without importing torch, so that a mistyped name is refused at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.registry import catalogue
from harness.system.errors import HarnessError, suggest


def select(names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the catalogue entries of components.

    Args:
        names: Plugins (by distribution or entry point), and single components as KIND/NAME.

    Raises:
        HarnessError: If a plugin or component is not installed, or if a plugin is blocked.
    """
    known = catalogue.current()
    selected: dict[str, Mapping[str, Any]] = {}
    for name in names:
        if "/" in name:
            kind, _, component = name.partition("/")
            entries: Iterable[Mapping[str, Any]] = [known.get(kind, component)]
        else:
            plugins = plugins_of(name)
            keys = {(p.distribution, p.name) for p in plugins}
            entries = [e for e in known if (e["origin"], e["plugin"]) in keys]
            if not plugins:
                words = {name for p in known.plugins for name in (p.name, p.distribution)}
                raise HarnessError(f"no plugin {name!r} is installed.{suggest(name, words)} A component is KIND/NAME.")
            if blocked := [p for p in plugins if p.status == "blocked"]:
                raise HarnessError(f"the plugin {blocked[0].distribution} is blocked (HARNESS_BLOCK)")
        selected |= {f"{e['kind']}/{e['name']}": e for e in entries}
    return list(selected.values())


def plugins_of(name: str) -> list[catalogue.Plugin]:
    """Return the plugin of an entry point, or else all plugins of a distribution."""
    known = catalogue.current().plugins
    return [p for p in known if _normalized(name) == _normalized(p.name)] or [
        p for p in known if _normalized(name) == _normalized(p.distribution)
    ]


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
