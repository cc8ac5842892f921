"""Build a component from its config node, and read its settings and traits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

from harness.registry.code_state import is_plugin
from harness.registry.component import Mark, asks, mark_of, parameters
from harness.registry.discovery import Component
from harness.registry.kinds import KEY, NONE
from harness.registry.param_types import convert
from harness.registry.registry import REGISTRY
from harness.system.process_state import kept

Node = Mapping[str, Any]


def settings_of(kind: str, node: Node) -> dict[str, Any]:
    """Return the settings in a config node, converted to the types that the component declares."""
    return _settings(REGISTRY.get(kind, node[KEY]), node)


def _settings(function: Component, node: Node) -> dict[str, Any]:
    settings = tuple((name, type(value), value) for name, value in node.items())
    try:
        converted = _converted(function, settings)
    except TypeError:  # a list in the node cannot be hashed
        return _converted.__wrapped__(function, settings)
    # a component may change a list
    return {name: copy.deepcopy(value) if type(value) is list else value for name, value in converted.items()}


@functools.lru_cache(1024)
def _converted(function: Component, settings: tuple[tuple[str, type, Any], ...]) -> dict[str, Any]:
    node = {name: value for name, _, value in settings}
    return {p.name: convert(p.hint, node.get(p.name, p.default)) for p in parameters(function)}


def component(kind: str, node: Node, **offers: Any) -> Any:
    """Call a component with the parameters that harness injects and the settings of its node.

    Args:
        kind: Kind of the component.
        node: Config node with the component's name and settings.
        offers: Values that harness can inject, by parameter name; only those that the component declares are passed.

    Returns:
        The component's return value.
    """
    function = REGISTRY.get(kind, node[KEY])
    injected = [offers[name] for name in asks(function)]
    if not is_plugin(function):  # tests show that built-in components leave the state of the process unchanged
        return function(*injected, **_settings(function, node))
    with kept(by=f"{kind} {node[KEY]}", package=function.__module__.partition(".")[0]):
        return function(*injected, **_settings(function, node))


def trait(kind: str, node: Node, name: str, default: Any) -> Any:
    """Return a trait of the component in a config node.

    A trait that depends on the settings is declared as a function of them, or as the name of a setting.

    Args:
        kind: Kind of the component.
        node: Config node with the component's name and settings.
        name: Name of the trait.
        default: Value to return if the component does not declare the trait.
    """
    if is_unused(kind, node):
        return default
    function = REGISTRY.get(kind, node[KEY])
    mark = mark_of(function)
    assert isinstance(mark, Mark)
    value = mark.traits.get(name, default)
    if callable(value):
        return value(**_settings(function, node))
    return _settings(function, node).get(value, value) if isinstance(value, str) else value


def is_unused(kind: str, node: Node) -> bool:
    """Return True if a resolved config has no component of a kind, since the model does not use one."""
    return node[KEY] == NONE and not REGISTRY.holds(kind, NONE)
