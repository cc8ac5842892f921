"""What Hydra, OmegaConf and YAML refuse in a config, in the words that the harness itself uses for a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.config import foreign_words, trainer_options
from harness.config.schema import of_entry
from harness.config.settings import groups, rows
from harness.registry import catalogue, foreign_options
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.registry.param_types import describe
from harness.system.errors import HarnessError, shown, suggest

_HIDDEN = (KEY, "hydra")
_TEXTS = (  # what Hydra says only in a sentence: its pattern, and ours
    (r"An item is already at '(?P<key>.+?)'", "{key} is there already: write {key}=... without +"),
    (r"Could not delete from config. '(?P<key>.+?)' does not exist", "~{key}: there is no {key} to take out"),
    (
        r"The value of '(?P<key>.+?)' is (?P<is>.*) and not (?P<given>.*?)\.?$",
        "~{key}={given}: {key} is {is}",
    ),
    (r"Could not delete '(?P<key>.+?)'. No match", "~{key}: this is not what is chosen, nothing to take out"),
    (
        r"Multiple values for (?P<key>[^.]+)\. .*'(?P<write>override .*)'",
        "{key} is chosen twice; in the defaults of a file write '{write}'",
    ),
    (r"Error parsing override '(?P<key>.*?)'", "cannot read {key!r}: an override is KEY=VALUE"),
    (
        r"Cannot merge DictConfig with ListConfig",
        "the body of a file gives a list where settings belong; components are chosen in its defaults: "
        "- override /KIND: [...]",
    ),
    (r"Override (?P<key>\S+) looks like a config group override", "there is no group for {key}"),
)


def explain(error: BaseException) -> str | None:
    """One line on a mistake in a config; None for an exception that tells of no such mistake."""
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
            return _no_option(str(link.missing_cfg_file), link.options)
        if isinstance(link, oc.InterpolationResolutionError):
            return _interpolation(link)
        if isinstance(link, (oc.ConfigKeyError, oc.ConfigAttributeError)):
            return _unknown_key(link)
        if isinstance(link, (oc.ValidationError, oc.ConfigTypeError)) and link.full_key:
            return _wrong_value(link)
        if isinstance(link, yaml.MarkedYAMLError) and link.problem_mark is not None:
            mark, problem = link.problem_mark, (link.problem or "").replace("found duplicate key", "there are two keys")
            return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {problem}"
    if isinstance(error, (HydraException, oc.OmegaConfBaseException, yaml.YAMLError)) or _from_hydra(error):
        return _sentence(" ".join(str(error).split()))
    return None


def _from_hydra(error: BaseException) -> bool:
    """Whether Hydra itself raised a plain ValueError, as it does for a malformed list of defaults."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error, ValueError) and str(module).startswith("hydra.")


def _sentence(text: str) -> str:
    for pattern, ours in _TEXTS:
        if found := re.search(pattern, text):
            return ours.format(**found.groupdict())
    if found := re.search(r"(?:In '(.+?)': )?Could not override '(.+?)'\.", text):
        place, key = found.groups()
        where = f"{place}.yaml: " if place else ""
        if instead := foreign_words.key(key):
            return f"{where}there is no group {key!r} to choose from. {instead}"
        return f"{where}there is no group {key!r} to choose from.{suggest(key, [*KINDS, 'trainer', 'experiment'])}"
    return text


def _no_option(file: str, options: Iterable[str] | None) -> str:
    group, _, name = file.rpartition("/")
    known = list(options or catalogue.current().entries.get(group, {}))
    if instead := foreign_options.option(group, name):
        return f"no {group} {name!r}. Instead: {instead}"
    near = suggest(name, known) if known else " There is none yet."
    return f"no {group or 'config'} {name!r}.{near}{catalogue.current().missing()}"


def _interpolation(error: Any) -> str:
    text = str(error).splitlines()[0]
    key = f"{error.full_key}: " if error.full_key else ""
    if found := re.search(r"Interpolation key '(.+?)' not found", text):
        known = [p.name for p in rows()] + [f"{g}.{p.name}" for g, inner in groups().items() for p in inner]
        return f"{key}there is no key {found[1]!r} to take the value from.{suggest(found[1], known)}"
    if found := re.search(r"Unsupported interpolation type (\S+)", text):
        return f"{key}${{{found[1]}:...}} is no way to take a value from elsewhere"
    if "Recursive interpolation" in text:
        return f"{key}it takes its value from itself"
    if found := re.search(r"Environment variable '(.+?)' not found", text):
        return f"{key}the environment variable {found[1]} is not set"
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
    """The line on a key that does not exist: `known` are its neighbours, `component` whose setting it would be."""
    group, _, _ = full.partition(".")
    key = full.rpartition(".")[2]
    names = [name for name in known if name not in _HIDDEN]
    if group == "trainer" and key in trainer_options.INSTEAD:
        return trainer_options.refusal(key)
    if group == "trainer" and key in trainer_options.FORMER:
        return f"unknown key 'trainer.{key}'. Instead: {trainer_options.FORMER[key]}"
    if "." not in full and (instead := foreign_words.key(full)):
        return f"unknown key {full!r}. {instead}"
    near = suggest(key, names)
    if component is not None and (instead := foreign_words.same(key)) in names:
        near = f" Did you mean {instead!r}?"
    if component is None or "Did you mean" in near:
        return f"unknown key {full!r}.{near}"
    found = catalogue.current().entries.get(group, {})
    owners = [n for n in sorted(found) if any(p.name == key for p in of_entry(found[n]))]
    if component == AUTO:
        first = owners[0] if owners else KINDS[group].auto or "NAME"
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
    """The declared type of a key of the config, if it has one; `node` is what the key stands in."""
    group, _, rest = full.partition(".")
    parameters = rows() if not rest else groups().get(group, [])
    if group in KINDS and node is not None and KEY in node:
        entry = catalogue.current().entries[group].get(node.get(KEY))
        parameters = of_entry(entry) if entry else []
    return next((p.hint for p in parameters if p.name == full.rpartition(".")[2]), None)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise about a config into one HarnessError line."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        from harness.config.error_messages import (
            explain,  # knows the catalogue and OmegaConf: no error, no need of them
        )

        message = explain(error)
        if message is None:
            raise
        raise HarnessError(message) from error
