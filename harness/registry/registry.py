"""The registry of live components, which imports a plugin at the first use of one of its components."""

from __future__ import annotations

from harness.registry.command import Command
from harness.registry.discovery import Component, PluginContents, entry_points, load
from harness.system import session
from harness.system.errors import HarnessError
from harness.system.garbage import uncollected


class ImportedPlugins(dict[tuple[str, str], PluginContents]):
    """The contents of imported plugins, by entry point and distribution."""


class Registry:
    """The live components of the session, each plugin imported when one of its components is first asked for."""

    def holds(self, kind: str, name: str) -> bool:
        """Return True if a component of this name is installed, without importing its plugin."""
        from harness.registry import catalogue

        return name in catalogue.current().entries.get(kind, {})

    def command(self, name: str) -> Command:
        """Return the command of a plugin.

        Raises:
            HarnessError: If the command cannot be loaded.
        """
        from harness.registry import catalogue

        entry = catalogue.current().commands[name]
        offer = self.offer(entry["plugin"], entry["origin"])
        if offer is None or name not in offer.commands:
            raise HarnessError(f"command {name!r} of {entry['origin']} cannot be loaded: {_reasons(offer)}")
        return offer.commands[name]

    def get(self, kind: str, name: str) -> Component:
        """Return a component.

        Raises:
            HarnessError: If there is no such component, or if it cannot be loaded.
        """
        from harness.registry import catalogue

        entry = catalogue.current().get(kind, name)
        offer = self.offer(entry["plugin"], entry["origin"])
        component = offer.components.get((kind, name)) if offer else None
        if component is None:
            raise HarnessError(f"{kind} {name!r} of {entry['origin']} cannot be loaded: {_reasons(offer)}")
        return component

    def offer(self, plugin: str, origin: str) -> PluginContents | None:
        """Return the contents of a plugin, which is imported once; None if it is no longer installed."""
        key = (plugin, origin)
        imported = session.state(ImportedPlugins)
        if key not in imported:
            for point, distribution, _ in entry_points():
                if (point.name, distribution) == key:
                    with uncollected():
                        imported[key] = load(point, distribution)
        return imported.get(key)


def _reasons(offer: PluginContents | None) -> str:
    if offer is None:
        return "its plugin is no longer installed"
    return "; ".join(problem.message for problem in offer.problems) or "its plugin no longer offers it"


REGISTRY = Registry()
