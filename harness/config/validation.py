"""The one place that refuses a bad config: after composing, before anything is loaded or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.config import trainer_options
from harness.config.error_messages import explain, unknown_key
from harness.config.schema import of_entry
from harness.config.settings import groups, rows
from harness.registry.catalogue import Catalogue
from harness.registry.component import REQUIRED, Parameter
from harness.registry.kinds import AUTO, KEY, KINDS, NONE, SPARED
from harness.registry.param_types import convert
from harness.system.errors import HarnessError, shown, suggest

# Hydra's own groups beside the kinds: `experiment` only chooses an overlay and leaves no node.
OTHER = ("trainer",)


Seen = dict[tuple[str, str], dict[str, Any]]  # nodes as they were checked, by their place and their text


class MissingSetting(HarnessError):
    """A setting that has no default is not given."""


def check(config: DictConfig, catalogue: Catalogue, seen: Seen | None = None) -> dict[str, Any]:
    """The config as plain, canonical data. Raises HarnessError at the first thing that is wrong.

    What is in `seen`, of configs that the same catalogue has checked, is not checked again: of a sweep's jobs, most
    components are alike. They then share their nodes, which nobody may change.

    Canonical means: every value has the type that its parameter declares (0.5 and not "0.5", lists for tuples),
    so that equal settings are equal data.
    """
    try:
        raw = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        raise HarnessError(explain(error) or str(error)) from error
    assert isinstance(raw, dict)
    return check_values(raw, catalogue, seen)


def check_values(raw: dict[Any, Any], catalogue: Catalogue, seen: Seen | None = None) -> dict[str, Any]:
    """The same of a config that is plain data already, as that of a record, which anyone may have written."""
    values: dict[str, Any] = {str(k): v for k, v in raw.items() if k != "hydra"}
    for path, key in _keys(values):
        if key == "_target_":
            raise HarnessError(f"{path}: a config names components, it never names Python to import")
    known = [p.name for p in rows()] + list(groups()) + list(KINDS) + list(OTHER)
    for key in values:
        if key == "experiment":  # a group that only chooses overlays
            raise HarnessError("a file of experiment/ sets keys of the whole config: begin it with # @package _global_")
        if key not in known:
            raise HarnessError(unknown_key(key, known))
    checked = _checked(rows(), values, "")
    for name, inner in groups().items():
        checked[name] = _checked(inner, _mapping(values, name, f"{name}.{inner[0].name}=..."), f"{name}.")
    _check_study(checked["study"])
    if not checked["cache_dir"].strip():
        raise HarnessError("cache_dir must name a folder, got ''")
    shares = checked["split"]["val"] + checked["split"]["test"]
    if shares >= 1:
        raise HarnessError(f"split.val + split.test must leave something to train on, got {shares:g}")
    checked["trainer"] = _mapping(values, "trainer", "trainer.KEY=...")
    trainer_options.check(checked["trainer"], catalogue.trainer, checked["epochs"])
    for kind in KINDS.values():
        checked[kind.name] = _kind(values, kind.name, kind.many, catalogue, {} if seen is None else seen)
    return checked


def _mapping(values: dict[str, Any], name: str, example: str) -> dict[str, Any]:
    node = values.get(name, {})
    if not isinstance(node, dict):
        raise HarnessError(f"{name} holds keys of its own and is no value: write {example}, got {shown(node)}")
    return node


def _kind(values: dict[str, Any], kind: str, many: bool, catalogue: Catalogue, seen: Seen) -> dict[str, Any]:
    node = values.get(kind)
    if node and not isinstance(node, dict):
        raise HarnessError(
            f"{kind} is chosen on the command line, or in a file's defaults ('override /{kind}: ...'); "
            f"its body holds settings, got {shown(node)}"
        )
    if many:
        return {
            name: _once(kind, inner, f"{kind}.{name}", catalogue, name, seen) for name, inner in (node or {}).items()
        }
    if not node:
        raise HarnessError(f"no {kind} is chosen.{suggest('', catalogue.names(kind))}")
    return _once(kind, node, kind, catalogue, None, seen)


def _once(kind: str, node: Any, path: str, catalogue: Catalogue, key: str | None, seen: Seen) -> dict[str, Any]:
    place = path, repr(node)
    if place not in seen:
        seen[place] = component_values(kind, node, path, catalogue, key)
    return seen[place]


def component_values(kind: str, node: Any, path: str, catalogue: Catalogue, key: str | None = None) -> dict[str, Any]:
    """A component's node with all of its settings, each of its type. Raises HarnessError for one that it lacks."""
    if not isinstance(node, dict) or KEY not in node:
        wanted = f"'{kind}=[{key}]'" if key else f"{kind}=NAME"
        raise HarnessError(f"{path} is set but not chosen: choose it with {wanted}, or take its settings out")
    name = node[KEY]
    settings = {k: v for k, v in node.items() if k != KEY}
    if name == AUTO and KINDS[kind].auto is not None:
        if KINDS[kind].auto == "":
            return {KEY: name} | _settings_of_some(kind, settings, catalogue)
        if settings:
            raise HarnessError(unknown_key(f"{path}.{next(iter(settings))}", [], AUTO))
        return {KEY: name}
    if name == NONE and kind in SPARED and name not in catalogue.entries[kind]:  # as a record's config has it
        if settings:
            raise HarnessError(unknown_key(f"{path}.{next(iter(settings))}", [], NONE))
        return {KEY: name}
    return {KEY: name} | _checked(of_entry(catalogue.get(kind, name)), settings, f"{path}.", name)


def _settings_of_some(kind: str, settings: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Settings for the component that `auto` will stand for (`resolve` checks them), as far as one has them."""
    known = {p.name for entry in catalogue.entries[kind].values() for p in of_entry(entry)}
    for name in settings:
        if name not in known:
            raise HarnessError(unknown_key(f"{kind}.{name}", sorted(known)))
    return settings


def _checked(
    parameters: list[Parameter], values: dict[str, Any], prefix: str, component: str | None = None
) -> dict[str, Any]:
    """The value of each parameter. Under a prefix nothing else may stand; the top level has other keys too."""
    known = [p.name for p in parameters]
    for key in values if prefix else ():
        if key not in known:
            raise HarnessError(unknown_key(prefix + key, known, component))
    found = {}
    for p in parameters:
        value = values.get(p.name, p.default)
        if isinstance(value, str) and value == REQUIRED:
            raise MissingSetting(f"{prefix}{p.name} must be given: {prefix}{p.name}=...")
        try:
            found[p.name] = _plain(convert(p.hint, value))
        except ValueError as error:
            whole = f" in {shown(value)}" if isinstance(value, list) and shown(value) not in str(error) else ""
            quote = f"; in a file, text stands in quotes: {p.name}: '...'" if _lost_text(p.hint, value) else ""
            raise HarnessError(f"{prefix}{p.name} {error}{whole}{quote}") from error
    return found


def _lost_text(hint: Any, value: Any) -> bool:
    """Whether a value that is refused would be allowed as text: YAML makes a number of 2024_01_15."""
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
    """Tuples as lists, members of an Enum as their names."""
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
