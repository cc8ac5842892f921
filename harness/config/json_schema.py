"""JSON Schema of the config, from the catalogue: for editors, and for programs that write configs."""

from __future__ import annotations

import enum
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union

from harness.config.settings import nested_settings, scalar_settings
from harness.config.trainer_options import allowed
from harness.registry.catalogue import Catalogue, entry_parameters
from harness.registry.component import Parameter
from harness.registry.kinds import AUTO, KEY, KINDS, NONE, OPTIONAL_KINDS
from harness.registry.param_types import bounds_of, doc_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"type": "string", "pattern": r"^\$\{.+\}$"}  # of OmegaConf, in a file
_SCALARS: dict[Any, dict[str, Any]] = {
    float: {"type": "number"},
    int: {"type": "integer"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}
_BOUNDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
}
_LENGTHS = {"min_length": ("minLength", "minItems"), "max_length": ("maxLength", "maxItems")}

Schema = dict[str, Any]


def config_schema(catalogue: Catalogue) -> Schema:
    """Return the schema of a whole config, which is also that of an experiment file.

    Args:
        catalogue: The installed components.
    """
    properties: Schema = {p.name: _setting(p) for p in scalar_settings()}
    properties |= {name: _settings(inner) for name, inner in nested_settings().items()}
    properties["tune"]["properties"]["space"] = {"type": "object"}
    trainer = dict.fromkeys(allowed(catalogue.trainer), True)
    properties["trainer"] = {"type": "object", "properties": trainer, "additionalProperties": False}
    for kind in KINDS.values():
        entries = catalogue.entries.get(kind.name, {})
        properties[kind.name] = _list_kind(entries) if kind.many else _kind(kind.name, entries)
    return {
        "$schema": DIALECT,
        "title": "Config of harness",
        "type": "object",
        "properties": {"defaults": {"type": "array"}, "hydra": {"type": "object"}} | properties,
        "additionalProperties": False,
    }


def _kind(kind: str, entries: Mapping[str, Any]) -> Schema:
    """Return the schema of a kind with one choice.

    A file that names no component may set the settings of any; one that names it, as the config of a record does, only
    those of the component.
    """
    parameters = {name: {p.name: p for p in entry_parameters(entry)} for name, entry in entries.items()}
    every = sorted({setting for own in parameters.values() for setting in own})
    properties: Schema = {
        setting: {"anyOf": _distinct(_setting(own[setting]) for own in parameters.values() if setting in own)}
        for setting in every
    }
    automatic = [] if KINDS[kind].auto is None else [AUTO]
    none = [NONE] if kind in OPTIONAL_KINDS and NONE not in entries else []
    properties[KEY] = {"enum": [*entries, *automatic, *none]}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {KEY: {"const": name}}, "required": [KEY]},
                "then": {"properties": dict.fromkeys(every, False) | {k: _setting(p) for k, p in own.items()}},
            }
            for name, own in parameters.items()
        ],
    }


def _list_kind(entries: Mapping[str, Any]) -> Schema:
    """Return the schema of a kind whose chosen components are keys."""
    properties: Schema = {}
    for name, entry in entries.items():
        properties[name] = _settings(entry_parameters(entry))
        properties[name]["properties"][KEY] = {"const": name}
        if entry.get("doc"):
            properties[name]["description"] = entry["doc"].splitlines()[0]
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _settings(parameters: Iterable[Parameter]) -> Schema:
    return {
        "type": "object",
        "properties": {p.name: _setting(p) for p in parameters},
        "additionalProperties": False,
    }


def _setting(p: Parameter) -> Schema:
    """Return the schema of a setting: its type with bounds, or a reference to another setting."""
    schema: Schema = {"anyOf": [_type(p.hint), _REFERENCE]}
    if text := doc_of(p.hint):
        schema["description"] = text
    if not p.required and _is_plain(p.default):
        schema["default"] = list(p.default) if isinstance(p.default, tuple) else p.default
    return schema


def _type(hint: Any) -> Schema:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _bounded(_type(arguments[0]), bounds_of(arguments[1:]))
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(argument) for argument in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and arguments and Ellipsis not in arguments:
        return {
            "type": "array",
            "prefixItems": [_type(argument) for argument in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if origin in (list, tuple):
        return {"type": "array", "items": _type(arguments[0])}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": list(hint.__members__)}
    return dict(_SCALARS.get(hint, {}))


def _bounded(schema: Schema, bounds: Mapping[str, Any]) -> Schema:
    """Return a schema with the bounds of an annotation, which hold for each type of a union that they fit."""
    if "anyOf" in schema:
        return {"anyOf": [_bounded(one, bounds) for one in schema["anyOf"]]}
    found = dict(schema)
    for name, value in bounds.items():
        if name in _BOUNDS and schema.get("type") in ("number", "integer"):
            found[_BOUNDS[name]] = value
        if name in _LENGTHS and schema.get("type") in ("string", "array"):
            found[_LENGTHS[name][schema["type"] == "array"]] = value
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _distinct(schemas: Iterable[Schema]) -> list[Schema]:
    found: list[Schema] = []
    for schema in schemas:
        if schema not in found:
            found.append(schema)
    return found
