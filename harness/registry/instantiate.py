"""Make one component from its config node, and read its settings and traits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.registry.code_state import is_plugin
from harness.registry.component import Mark, asks, mark_of, parameters
from harness.registry.kinds import KEY, NONE
from harness.registry.param_types import convert
from harness.registry.registry import REGISTRY
from harness.system.process_state import kept

Node = Mapping[str, Any]


def settings_of(kind: str, node: Node) -> dict[str, Any]:
    """A node's settings, each of the type that the component declares."""
    function = REGISTRY.get(kind, node[KEY])
    return {p.name: convert(p.hint, node.get(p.name, p.default)) for p in parameters(function)}


def component(kind: str, node: Node, **offers: Any) -> Any:
    """Calls a component with what it asks for and what the config sets."""
    function = REGISTRY.get(kind, node[KEY])
    given = [offers[name] for name in asks(function)]
    if not is_plugin(function):  # harness's own are shown to leave the process as it was by their tests
        return function(*given, **settings_of(kind, node))
    with kept(by=f"{kind} {node[KEY]}", package=function.__module__.partition(".")[0]):  # its neighbour comes next
        return function(*given, **settings_of(kind, node))


def trait(kind: str, node: Node, name: str, default: Any) -> Any:
    """A trait of a component; where it depends on the settings, it is a function of them, or the name of one."""
    if left_out(kind, node):
        return default
    mark = mark_of(REGISTRY.get(kind, node[KEY]))
    assert isinstance(mark, Mark)
    value = mark.traits.get(name, default)
    if callable(value):
        return value(**settings_of(kind, node))
    return settings_of(kind, node).get(value, value) if isinstance(value, str) else value


def left_out(kind: str, node: Node) -> bool:
    """Whether a resolved config has no component of a kind, as the model has no use for one (`unused`)."""
    return node[KEY] == NONE and not REGISTRY.holds(kind, NONE)
