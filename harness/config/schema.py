"""Build typed OmegaConf nodes from the catalogue, so that composition refuses a value of a wrong type."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Union

from omegaconf import (
    AnyNode,
    BooleanNode,
    DictConfig,
    FloatNode,
    IntegerNode,
    ListConfig,
    OmegaConf,
    StringNode,
)

from harness._compat.omegaconf import TextNode
from harness.config.settings import nested_settings, scalar_settings
from harness.config.trainer_options import allowed
from harness.registry.catalogue import Catalogue, entry_parameters
from harness.registry.component import Parameter
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.system.errors import HarnessError

_NODES: dict[Any, Any] = {float: FloatNode, int: IntegerNode, str: TextNode, bool: BooleanNode}


def typed_node(hint: Any, value: Any) -> Any:
    """Return a node that accepts the values of a hint; types that OmegaConf lacks are checked by `check_config`."""
    optional = False
    while True:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            hint = arguments[0]
        elif origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
            optional, hint = True, next(a for a in arguments if a is not type(None))
        else:
            break
    if hint in _NODES:
        return _NODES[hint](value=value, is_optional=optional or hint is str)  # null may be a text
    if origin in (list, tuple):
        content = list(value) if isinstance(value, (list, tuple)) else value
        return ListConfig(content=content, is_optional=optional)
    return AnyNode(value=value)


def component_node(entry: dict[str, Any]) -> DictConfig:
    """Return the config node of a component: its name and its settings."""
    return _node(entry_parameters(entry), {KEY: StringNode(value=entry["name"], is_optional=False)})


def settings_node() -> DictConfig:
    """Return the config node of the settings that belong to no component."""
    nested = {name: _node(inner, {}) for name, inner in nested_settings().items()}
    nested["tune"]._set_value({**nested["tune"], "space": OmegaConf.create({}, flags={"struct": False})})
    return _node(scalar_settings(), nested)


def trainer_node(defaults: dict[str, Any]) -> DictConfig:
    """Return the config node of the Trainer's parameters that harness does not manage itself."""
    return OmegaConf.create({name: defaults[name] for name in allowed(defaults)})


def auto_node(kind: str) -> DictConfig:
    """Return the config node of the choice `auto`.

    If the other choices decide (as the data does for the task), it accepts the settings of whatever will be chosen.
    """
    return OmegaConf.create({KEY: AUTO}, flags={"struct": False} if KINDS[kind].auto == "" else None)


def _node(parameters: Iterable[Parameter], first: dict[str, Any]) -> DictConfig:
    return OmegaConf.create(first | {p.name: typed_node(p.hint, p.default) for p in parameters})


def default_node(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    """Return the config node of a component with its defaults, as plain data.

    Raises:
        HarnessError: If the component has a setting without a default.
    """
    node: dict[str, Any] = {KEY: name}
    for p in entry_parameters(catalogue.get(kind, name)):
        if p.required:
            raise HarnessError(f"{kind}={name} cannot be chosen automatically: it requires {p.name}")
        node[p.name] = list(p.default) if isinstance(p.default, tuple) else p.default
    return node
