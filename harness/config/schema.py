"""Typed OmegaConf nodes from the catalogue's rows, so that a value of a wrong type is refused at composition."""

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
from harness.config.settings import groups, rows
from harness.config.trainer_options import allowed
from harness.registry.catalogue import Catalogue
from harness.registry.component import Parameter
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.registry.param_types import decode
from harness.system import session
from harness.system.errors import HarnessError

_NODES: dict[Any, Any] = {float: FloatNode, int: IntegerNode, str: TextNode, bool: BooleanNode}


class DecodedParameters(dict[int, tuple[dict[str, Any], list[Parameter]]]):
    """The parameters of catalogue rows by the `id` of the row, which is kept with them."""


def of_entry(entry: dict[str, Any]) -> list[Parameter]:
    """The parameters of a catalogue's row, with their hints; decoded once, for a sweep asks for every job."""
    decoded = session.state(DecodedParameters)
    kept = decoded.get(id(entry))
    if kept is None or kept[0] is not entry:
        parameters = [
            Parameter(row["name"], decode(row["type"]), "???" if row["required"] else row["default"])
            for row in entry["parameters"]
        ]
        kept = decoded[id(entry)] = (entry, parameters)
    return kept[1]


def typed(hint: Any, value: Any) -> Any:
    """A node that takes what the hint allows; what OmegaConf cannot hold in a type is left to `check`."""
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
    """The config node of a component: its name and its parameters."""
    return _node(of_entry(entry), {KEY: StringNode(value=entry["name"], is_optional=False)})


def settings_node() -> DictConfig:
    """The top level's own values."""
    return _node(rows(), {name: _node(inner, {}) for name, inner in groups().items()})


def trainer_node(defaults: dict[str, Any]) -> DictConfig:
    """Everything of Lightning's Trainer that the learner leaves to it."""
    return OmegaConf.create({name: defaults[name] for name in allowed(defaults)})


def auto_node(kind: str) -> DictConfig:
    """The choice that means: decide for me. Where the other choices decide (a task's is the data's), it takes settings
    of what will be chosen.
    """
    return OmegaConf.create({KEY: AUTO}, flags={"struct": False} if KINDS[kind].auto == "" else None)


def _node(parameters: Iterable[Parameter], first: dict[str, Any]) -> DictConfig:
    return OmegaConf.create(first | {p.name: typed(p.hint, p.default) for p in parameters})


def default_node(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    """A component with its defaults. Raises HarnessError if it cannot be chosen without settings."""
    node: dict[str, Any] = {KEY: name}
    for p in of_entry(catalogue.get(kind, name)):
        if p.required:
            raise HarnessError(f"{kind}={name} cannot be chosen for you: it wants {p.name}")
        node[p.name] = list(p.default) if isinstance(p.default, tuple) else p.default
    return node
