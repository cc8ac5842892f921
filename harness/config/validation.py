"""Validate a composed config, before anything is loaded or written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.config import trainer_options
from harness.config.error_messages import explain, unknown_key
from harness.config.settings import nested_settings, scalar_settings
from harness.registry.catalogue import Catalogue, entry_parameters
from harness.registry.component import REQUIRED, Parameter
from harness.registry.kinds import AUTO, KEY, KINDS, NONE, OPTIONAL_KINDS, TUNED
from harness.registry.param_types import convert
from harness.space import parse_space, space_text
from harness.system.errors import HarnessError, shown, suggest

# Groups that are not kinds and leave a node in the config; `experiment` leaves none.
OTHER = ("trainer",)

TRIALS = "tuning"  # folder of a study that holds its trials
EMPTY: Mapping[str, Any] = MappingProxyType({})
NodeCache = dict[tuple[str, str], dict[str, Any]]  # {(path, repr of the raw node): checked node}


class MissingSetting(HarnessError):
    """Raised if a setting without a default is not given."""


def check_config(config: DictConfig, catalogue: Catalogue) -> dict[str, Any]:
    """Check a composed config, and return it as plain canonical data. Raises HarnessError at the first mistake."""
    return check_values(plain(config, [str(key) for key in config]), catalogue)


def plain(config: DictConfig, keys: Iterable[str]) -> dict[str, Any]:
    """Return some keys of a composed config as plain data, with references replaced.

    Raises:
        HarnessError: If a reference cannot be replaced.
    """
    try:
        return {key: _plain_value(config, key) for key in keys}
    except OmegaConfBaseException as error:
        raise HarnessError(explain(error) or str(error)) from error


def _plain_value(config: DictConfig, key: str) -> Any:
    if OmegaConf.is_missing(config, key):
        return REQUIRED
    value = config[key]
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True, enum_to_str=True)
    return value.name if isinstance(value, Enum) else value


def check_values(
    raw: dict[Any, Any], catalogue: Catalogue, cache: NodeCache | None = None, same: Mapping[str, Any] = EMPTY
) -> dict[str, Any]:
    """Check a config that is plain data, such as that of a record, which anyone may have written.

    The result is canonical: every value has the type that its parameter declares (0.5 and not "0.5", lists for tuples),
    so that equal settings are equal data.

    Args:
        raw: The config.
        catalogue: The installed components.
        cache: Checked nodes, for the jobs of a sweep, which mostly have the same components. Configs that are checked
            with one cache share their nodes, which must not be changed.
        same: Checked values of keys that are the same as in a config that has passed.

    Raises:
        HarnessError: At the first mistake.
    """
    values: dict[str, Any] = {str(k): v for k, v in raw.items() if k != "hydra"}
    for path, key in _keys({k: v for k, v in values.items() if k not in same}):
        if key == "_target_":
            raise HarnessError(f"{path}: a config names components, it never names Python to import")
    known = [p.name for p in scalar_settings()] + list(nested_settings()) + list(KINDS) + list(OTHER)
    for key in values:
        if key == "experiment":  # only left in the config by a file without the header
            raise HarnessError("a file in experiment/ sets keys of the whole config: begin it with # @package _global_")
        if key not in known:
            raise HarnessError(unknown_key(key, known))
    changed = _checked([p for p in scalar_settings() if p.name not in same], values, "")
    checked = {p.name: same[p.name] if p.name in same else changed[p.name] for p in scalar_settings()}
    for name, inner in nested_settings().items():
        if name in same:
            checked[name] = same[name]
            continue
        node = dict(_mapping(values, name, f"{name}.{inner[0].name}=..."))
        spaces = {"space": _check_spaces(node.pop("space", {}))} if name == "tune" else {}
        checked[name] = _checked(inner, node, f"{name}.") | spaces
    for kind_name in checked["tune"]["over"] or ():
        if kind_name not in TUNED:
            raise HarnessError(f"tune.over: settings of {kind_name!r} cannot be tuned.{suggest(kind_name, TUNED)}")
    _check_study(checked["study"])
    for name in ("cache_dir", "output_root"):
        if not checked[name].strip():
            raise HarnessError(f"{name} must name a folder, got ''")
    shares = checked["split"]["val"] + checked["split"]["test"]
    if shares >= 1:
        raise HarnessError(f"split.val + split.test must leave something to train on, got {shares:g}")
    checked["trainer"] = _mapping(values, "trainer", "trainer.KEY=...")
    trainer_options.check_trainer(checked["trainer"], catalogue.trainer, checked["epochs"])
    for kind in KINDS.values():
        if kind.name in same:
            checked[kind.name] = same[kind.name]
        else:
            checked[kind.name] = _check_kind(values, kind.name, kind.many, catalogue, {} if cache is None else cache)
    return checked


def _check_spaces(node: Any, above: str = "") -> dict[str, str]:
    """Return the search spaces of a config by the keys of the settings, each as `space_text` writes it."""
    if not isinstance(node, dict):
        raise HarnessError(
            f"tune.space is a group of keys: write tune.space.optimizer.lr=log(1e-4,1e-1), got {shown(node)}"
        )
    spaces: dict[str, str] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            spaces |= _check_spaces(value, f"{above}{key}.")
            continue
        try:
            spaces[f"{above}{key}"] = space_text(parse_space(str(value)))
        except ValueError as error:
            raise HarnessError(f"tune.space.{above}{key} {error}") from error
    return spaces


def _mapping(values: dict[str, Any], name: str, example: str) -> dict[str, Any]:
    node = values.get(name, {})
    if not isinstance(node, dict):
        raise HarnessError(f"{name} is a group of keys, not a value: write {example}, got {shown(node)}")
    return node


def _check_kind(
    values: dict[str, Any], kind: str, many: bool, catalogue: Catalogue, cache: NodeCache
) -> dict[str, Any]:
    node = values.get(kind)
    if node and not isinstance(node, dict):
        raise HarnessError(
            f"{kind} is chosen on the command line, or in a file's defaults ('override /{kind}: ...'); "
            f"its body holds settings, got {shown(node)}"
        )
    if many:
        return {
            name: _check_once(kind, inner, f"{kind}.{name}", catalogue, name, cache)
            for name, inner in (node or {}).items()
        }
    if not node:
        raise HarnessError(f"no {kind} is chosen.{suggest('', catalogue.names(kind))}")
    return _check_once(kind, node, kind, catalogue, None, cache)


def _check_once(
    kind: str, node: Any, path: str, catalogue: Catalogue, name: str | None, cache: NodeCache
) -> dict[str, Any]:
    key = path, repr(node)
    if key not in cache:
        cache[key] = component_values(kind, node, path, catalogue, name)
    return cache[key]


def component_values(kind: str, node: Any, path: str, catalogue: Catalogue, key: str | None = None) -> dict[str, Any]:
    """Return the node of a component with all of its settings, converted to their types.

    Args:
        kind: Kind of the component.
        node: The raw node.
        path: Key of the node, for messages.
        catalogue: The installed components.
        key: Name under which the node is listed, for a kind that takes a list.

    Raises:
        HarnessError: If no component is chosen, or if a setting is unknown, missing or not valid.
    """
    if not isinstance(node, dict) or KEY not in node:
        choice = f"'{kind}=[{key}]'" if key else f"{kind}=NAME"
        raise HarnessError(f"{path} is set but not chosen: choose it with {choice}, or remove its settings")
    name = node[KEY]
    settings = {k: v for k, v in node.items() if k != KEY}
    if name == AUTO and KINDS[kind].auto is not None:
        if KINDS[kind].auto == "":
            return {KEY: name} | _auto_settings(kind, settings, catalogue)
        if settings:
            raise HarnessError(unknown_key(f"{path}.{next(iter(settings))}", [], AUTO))
        return {KEY: name}
    if name == NONE and kind in OPTIONAL_KINDS and name not in catalogue.entries[kind]:  # in the config of a record
        if settings:
            raise HarnessError(unknown_key(f"{path}.{next(iter(settings))}", [], NONE))
        return {KEY: name}
    return {KEY: name} | _checked(entry_parameters(catalogue.get(kind, name)), settings, f"{path}.", name)


def _auto_settings(kind: str, settings: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Refuse settings of `auto` that no component of the kind has; `execution.resolve` checks their values."""
    known = {p.name for entry in catalogue.entries[kind].values() for p in entry_parameters(entry)}
    for name in settings:
        if name not in known:
            raise HarnessError(unknown_key(f"{kind}.{name}", sorted(known)))
    return settings


def _checked(
    parameters: list[Parameter], values: dict[str, Any], prefix: str, component: str | None = None
) -> dict[str, Any]:
    """Return the converted value of each parameter. Unknown keys are refused if there is a prefix."""
    known = [p.name for p in parameters]
    for key in values if prefix else ():
        if key not in known:
            raise HarnessError(unknown_key(prefix + key, known, component))
    checked = {}
    for p in parameters:
        value = values.get(p.name, p.default)
        if isinstance(value, str) and value == REQUIRED:
            raise MissingSetting(f"{prefix}{p.name} must be given: {prefix}{p.name}=...")
        try:
            checked[p.name] = _plain(convert(p.hint, value))
        except ValueError as error:
            whole = f" in {shown(value)}" if isinstance(value, list) and shown(value) not in str(error) else ""
            quote = f"; in a file, put text in quotes: {p.name}: '...'" if _lost_text(p.hint, value) else ""
            raise HarnessError(f"{prefix}{p.name} {error}{whole}{quote}") from error
    return checked


def _lost_text(hint: Any, value: Any) -> bool:
    """Return True if a refused value would be valid as text: to YAML, 2024_01_15 is a number."""
    values = value if isinstance(value, list) else [value]
    if all(isinstance(v, str) for v in values):
        return False
    as_text = [v if isinstance(v, str) else shown(v) for v in values]
    try:
        convert(hint, as_text if isinstance(value, list) else as_text[0])
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """Return tuples as lists, and members of an Enum as their names."""
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.name if hasattr(value, "name") and not isinstance(value, str) else value


def _keys(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{path}{key}", str(key)
            yield from _keys(value, f"{path}{key}.")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _keys(value, f"{path}{index}.")


def _check_study(study: str) -> None:
    parts = PurePath(study).parts
    if not parts or os.path.isabs(study) or any(part in ("..", "~") or part.startswith(".") for part in parts):
        raise HarnessError(f"study must name a folder under outputs/, got {study!r}")
    if any(ord(c) < 32 for c in study) or len(study) > 200:
        raise HarnessError(f"study must be a short, printable name, got {study!r}")
    if parts[0] == TRIALS:
        raise HarnessError(f"study={study}: the name is kept for the trials of tuning in a study's own folder")
