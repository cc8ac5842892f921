"""Explain in one line the errors that Hydra, OmegaConf and YAML raise for a config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.config import foreign_words, trainer_options
from harness.config.settings import nested_settings, scalar_settings
from harness.registry import catalogue, foreign_options
from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.registry.param_types import describe
from harness.system.errors import HarnessError, shown, suggest

_HIDDEN = (KEY, "hydra")
_TEXTS = (  # (pattern of Hydra's message, replacement)
    (r"An item is already at '(?P<key>.+?)'", "{key} exists already: write {key}=... without +"),
    (r"Could not delete from config. '(?P<key>.+?)' does not exist", "~{key}: there is no {key} to delete"),
    (
        r"The value of '(?P<key>.+?)' is (?P<is>.*) and not (?P<given>.*?)\.?$",
        "~{key}={given}: {key} is {is}",
    ),
    (r"Could not delete '(?P<key>.+?)'. No match", "~{key}: it is not chosen, so there is nothing to delete"),
    (
        r"Multiple values for (?P<key>[^.]+)\. .*'(?P<write>override .*)'",
        "{key} is chosen twice; in the defaults of a file write '{write}'",
    ),
    (r"Error parsing override '(?P<key>.*?)'", "cannot read {key!r}: an override is KEY=VALUE"),
    (
        r"Cannot merge (DictConfig with ListConfig|incompatible container types)",
        "the body of a file holds a list in place of settings; choose components in its defaults list: "
        "- override /KIND: [...]",
    ),
    (
        r"'hydra.sweeper' must be configured before the sweep starts",
        "a file declares a sweep of its own (hydra.sweeper): run it by itself, not as a value of a sweep",
    ),
    (r"Override (?P<key>\S+) looks like a config group override", "there is no group for {key}"),
)


def explain(error: BaseException) -> str | None:
    """Return one line that explains a mistake in a config, or None for any other exception."""
    import yaml  # its stubs are not among our packages
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import errors as oc

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        if isinstance(link, HarnessError):
            return str(link)
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file:
            return _missing_option(str(link.missing_cfg_file), link.options)
        if isinstance(link, oc.InterpolationResolutionError):
            return _interpolation(link)
        if isinstance(link, (oc.ConfigKeyError, oc.ConfigAttributeError)):
            return _unknown_key(link)
        if isinstance(link, (oc.ValidationError, oc.ConfigTypeError)) and link.full_key:
            return _wrong_value(link)
        if isinstance(link, yaml.MarkedYAMLError) and link.problem_mark is not None:
            mark, problem = link.problem_mark, (link.problem or "")
            for found, said in (("found duplicate key", "there are two keys"), ("did not find expected", "expected")):
                problem = problem.replace(found, said)
            return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {problem}"
    if isinstance(error, (HydraException, oc.OmegaConfBaseException, yaml.YAMLError)) or _from_hydra(error):
        return _reword(" ".join(str(error).split()))
    return None


def _from_hydra(error: BaseException) -> bool:
    """Return True if Hydra itself raised a plain ValueError, as it does for a malformed defaults list."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error, ValueError) and str(module).startswith("hydra.")


def _reword(text: str) -> str:
    for pattern, replacement in _TEXTS:
        if match := re.search(pattern, text):
            return replacement.format(**match.groupdict())
    refused = r"(?:In '(.+?)': )?(?:Could not override|Invalid Defaults List override) '/?([^':]+).*?'\."
    if match := re.search(refused, text):
        place, key = match.groups()
        where = f"{place}.yaml: " if place else ""
        if instead := foreign_words.suggest_key(key):
            return f"{where}there is no group {key!r} to choose from. {instead}"
        return f"{where}there is no group {key!r} to choose from.{suggest(key, [*KINDS, 'trainer', 'experiment'])}"
    return text


def _missing_option(file: str, options: Iterable[str] | None) -> str:
    group, _, name = file.rpartition("/")
    known = list(options or catalogue.current().entries.get(group, {}))
    if instead := foreign_options.option(group, name):
        return f"no {group} {name!r}. Instead: {instead}"
    near = suggest(name, known) if known else " There is none yet."
    return f"no {group or 'config'} {name!r}.{near}{catalogue.current().missing()}"


def _interpolation(error: Any) -> str:
    text = str(error).splitlines()[0]
    key = f"{error.full_key}: " if error.full_key else ""
    if match := re.search(r"Interpolation key '(.+?)' not found", text):
        known = [p.name for p in scalar_settings()] + [
            f"{g}.{p.name}" for g, inner in nested_settings().items() for p in inner
        ]
        return f"{key}there is no key {match[1]!r} to refer to.{suggest(match[1], known)}"
    if match := re.search(r"Unsupported interpolation type (\S+)", text):
        return f"{key}there is no resolver ${{{match[1]}:...}}"
    if "Recursive interpolation" in text:
        return f"{key}it refers to itself"
    if match := re.search(r"Environment variable '(.+?)' not found", text):
        return f"{key}the environment variable {match[1]} is not set"
    return key + text


def _unknown_key(error: Any) -> str:
    full, node = str(error.full_key), error.parent_node
    kind, _, rest = full.partition(".")
    name = rest.partition(".")[0]
    if kind in KINDS and KINDS[kind].many and node is not None and KEY not in node:
        catalogue.current().get(kind, name)  # raises with the nearest name
        return f"{full}: {kind} {name!r} is not chosen; choose it with '{kind}=[{name}]'"
    component = node.get(KEY) if node is not None and kind in KINDS and KEY in node else None
    return unknown_key(full, [str(k) for k in node] if node is not None else [], component)


def unknown_key(full: str, known: Iterable[str], component: str | None = None) -> str:
    """Return one line that explains a key that does not exist.

    Args:
        full: The key, with its path.
        known: Names of the existing keys beside it.
        component: Component that the key would be a setting of, if any.
    """
    group, _, _ = full.partition(".")
    key = full.rpartition(".")[2]
    names = [name for name in known if name not in _HIDDEN]
    if group == "trainer" and key in trainer_options.INSTEAD:
        return trainer_options.refusal(key)
    if group == "trainer" and (instead := trainer_options.other(key)):
        return f"unknown key {full!r}.{instead}"
    if "." not in full and (instead := foreign_words.suggest_key(full)):
        return f"unknown key {full!r}. {instead}"
    parent = full.removesuffix(key)
    near = suggest(key, names, path=parent)
    if component is not None and (instead := foreign_words.synonym(key)) in names:
        near = f" Did you mean {parent + str(instead)!r}?"
    if component is None or "Did you mean" in near:
        return f"unknown key {full!r}.{near}"
    entries = catalogue.current().entries.get(group, {})
    owners = [n for n in sorted(entries) if any(p.name == key for p in entry_parameters(entries[n]))]
    instead = foreign_words.suggest_key(key) or foreign_words.suggest_key(full)
    if not owners and instead is not None:
        return f"unknown key {full!r}. {instead}"
    if component == AUTO:
        usual = KINDS[group].auto or "NAME"
        first = usual if usual in owners or not owners else owners[0]
        return f"{full}: {group}=auto has no settings; choose a {group} first, for example {group}={first}"
    has = f"{component} has {', '.join(names) if names else 'no settings'}"
    tail = f"; {key} is a setting of {' and '.join(owners)}" if owners else ""
    return f"unknown key {full!r}: {has}{tail}"


def _wrong_value(error: Any) -> str:
    full = str(error.full_key)
    hint = declared(full, error.parent_node)
    if hint is None:
        return f"{full}: {str(error).splitlines()[0]}"
    value = error.value
    if isinstance(value, dict) and not value:
        return f"{full} is {describe(hint)}: it has no keys of its own"
    return f"{full} must be {describe(hint)}, got {shown(value)}"


def declared(full: str, node: Any) -> Any:
    """Return the declared type of a key of the config, or None.

    Args:
        full: The key, with its path.
        node: Parent node of the key.
    """
    group, _, rest = full.partition(".")
    parameters = scalar_settings() if not rest else nested_settings().get(group, [])
    if group in KINDS and node is not None and KEY in node:
        entry = catalogue.current().entries[group].get(node.get(KEY))
        parameters = entry_parameters(entry) if entry else []
    return next((p.hint for p in parameters if p.name == full.rpartition(".")[2]), None)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the errors that Hydra and OmegaConf raise for a config into a HarnessError of one line."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        from harness.config.error_messages import (
            explain,  # imports the catalogue and OmegaConf, which are only needed after an error
        )

        message = explain(error)
        if message is None:
            raise
        raise HarnessError(message) from error
