"""The registry: components by kind and name, loaded from plugins when they are first asked for."""

from __future__ import annotations

from harness.registry.discovery import Component, Offer, entry_points, load
from harness.system.errors import HarnessError


class Registry:
    """The live components, each plugin imported when one of its components is first asked for."""

    def __init__(self) -> None:
        self._offers: dict[tuple[str, str], Offer] = {}

    def holds(self, kind: str, name: str) -> bool:
        """Whether there is a component of this name, without importing its plugin."""
        from harness.registry import catalogue

        return name in catalogue.current().entries.get(kind, {})

    def get(self, kind: str, name: str) -> Component:
        """The component. Raises HarnessError if it cannot be had, saying why."""
        from harness.registry import catalogue

        entry = catalogue.current().get(kind, name)
        key = (entry["plugin"], entry["origin"])
        if key not in self._offers:
            for point, distribution, _ in entry_points():
                if (point.name, distribution) == key:
                    self._offers[key] = load(point, distribution)
        offer = self._offers.get(key)
        component = offer.components.get((kind, name)) if offer else None
        if component is None:
            reasons = "; ".join(p.message for p in offer.problems) if offer else "its plugin is gone"
            raise HarnessError(f"{kind} {name!r} of {entry['origin']} cannot be loaded: {reasons or 'it is gone'}")
        return component


REGISTRY = Registry()
