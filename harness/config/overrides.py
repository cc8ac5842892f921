"""What a person types behind `harness`: refused early where it says nothing sensible, expanded where it sweeps."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException

from harness.config import foreign_words
from harness.config.override_text import texts
from harness.config.settings import NOT_IDENTITY
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.system.errors import HarnessError, shown, suggest

GROUPS = (*KINDS, "trainer", "experiment")
_LISTS = (*(kind.name for kind in KINDS.values() if kind.many), "experiment")
FOLDER_BYTES = 200  # of a folder's readable part: file systems allow 255 for a name
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def parse(overrides: Sequence[str], sweep: bool = False) -> list[Override]:
    """Hydra's overrides. Raises HarnessError for one that cannot be read, names Python, or stands twice.

    `sweep` says whether one may hold several values.
    """
    parsed = []
    seen: dict[str, str] = {}
    for text in overrides:
        override = _read(text)
        parsed.append(override)
        key = override.get_key_element().lstrip("+~")
        if not key:
            raise HarnessError(f"cannot read {text!r}: {_why(text)}")
        for name in _names(key, None if override.is_sweep_override() else override.value()):
            if name == "_target_":
                raise HarnessError(f"{key}: a config names components, it never names Python to import ({text})")
            if name == KEY:
                group = key.partition(".")[0]
                raise HarnessError(f"{text}: {KEY} is written by the harness; choose with {group}=NAME")
        _check_place(text, key, override)
        if key in seen and not override.is_delete():
            raise HarnessError(f"{key} is given twice: {seen[key]} and {text}")
        seen[key] = text
        if override.is_sweep_override():
            if not sweep:
                raise HarnessError(f"{text} holds several values: sweep over them with harness -m; a list is [a,b]")
        else:
            _check_choice(override, key)
    return parsed


@functools.lru_cache(4096)  # the values of a sweep stand in many of its jobs
def _read(text: str) -> Override:
    if "=" not in text and not text.startswith("~"):
        example = f", for example {text}=NAME" if text in GROUPS else ""
        raise HarnessError(f"{text!r} is no override: an override is KEY=VALUE{example}")
    try:
        return _parser().parse_override(text)
    except HydraException as error:
        raise HarnessError(f"cannot read {text!r}: {_why(text)}") from error


@functools.cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _why(text: str) -> str:
    """What a person would look for first; the parser itself speaks of tokens."""
    key, _, value = text.partition("=")
    if not key.strip("+~ "):
        return "there is no key before the ="
    if re.search(r"[^\w.@/+~:$-]", key):
        return "a key is made of names and dots, and no space stands before the ="
    for quote in "'\"":
        if value.count(quote) % 2:
            return f"a quotation mark {quote} is not closed"
    for opening, closing in _PAIRS.items():
        if value.count(opening) != value.count(closing):
            return f"{opening} and {closing} do not match"
    if re.search(r",\s*(,|$|\])|\[\s*,", value):
        return "a value is missing beside a comma"
    if re.search(r"\s[+~]*[A-Za-z_][\w.@/]*=", value):
        return "these are several overrides: give each as a word of its own, without quotes around all of them"
    quoted = value.strip("'\"").replace('"', "").replace("'", "")
    return f"put a value with special characters in quotes of its own: {key}='\"{quoted}\"'"


def _names(key: str, value: Any) -> Iterator[str]:
    """Every name in an override's key, and in a dictionary that is its value."""
    yield from key.split(".")
    if isinstance(value, dict):
        for inner, more in value.items():
            yield from _names(str(inner), more)


def _check_place(text: str, key: str, override: Override) -> None:
    """Refuse a key that no config holds while it still stands as it was typed: Hydra names its first word only."""
    path = key.partition("@")[0]
    first, *rest = path.split(".")
    kind = KINDS.get(first)
    if kind is not None and not rest and override.is_delete() and override.value_type is None:
        write = f"'{first}=[]' chooses none" if kind.many else f"write {foreign_words.default_of(first)}"
        raise HarnessError(f"{text}: a kind cannot be taken out; {write}")
    if text.startswith("+") and not rest:
        return  # a folder of the user's own may bring a group of that name
    known = path.partition("/")[0] if "/" in path else first
    nested = kind is not None and not kind.many and len(rest) > 1 and rest[0] in KINDS
    if (known not in foreign_words.top_level() or nested) and (instead := foreign_words.key(path)):
        raise HarnessError(f"unknown key {path!r}. {instead}")


def _check_choice(override: Override, key: str) -> None:
    """A choice is a name, or a list of names where the kind is a list; Hydra has no words of its own for others."""
    if key not in GROUPS or override.is_delete():
        return
    text, value = override.input_line or "", override.value()
    if key in KINDS and (override.is_add() or override.is_force_add()):
        raise HarnessError(f"{key} has its choice already: write {text.lstrip('+')}, without +")
    if isinstance(value, dict):
        return  # not a choice: it sets keys of what is chosen
    if isinstance(value, list) and key not in _LISTS:
        raise HarnessError(f"{key} takes one choice, got a list: {text}")
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) and not _is_word(text, name):
            default = None if key in _LISTS else foreign_words.default_of(key)
            empty = f"; none at all is '{key}=[]'" if key in _LISTS and name is None else ""
            empty = f"; the default is {default}" if default and name is None else empty
            raise HarnessError(f"{key} must be a name, got {shown(name)}{empty}")
        if names.count(name) > 1:
            raise HarnessError(f"{text}: {name!r} is chosen twice")


def quote_choices(overrides: Sequence[str]) -> list[str]:
    """The overrides, with quotes around a choice that Hydra would take for a number.

    >>> quote_choices(["experiment=2024_01", "seed=1"])
    ["experiment='2024_01'", 'seed=1']
    """
    words = []
    for text in overrides:
        key, _, name = text.partition("=")
        number = key in GROUPS and _is_word(text, _read(text).value())
        words.append(f"{key}='{name.strip()}'" if number else text)
    return words


def _is_word(text: str, value: Any) -> bool:
    """Whether the value of a choice is a number to Hydra, and a name to whoever has typed it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and re.fullmatch(r"[\w.-]+", text.partition("=")[2].strip()) is not None


def expand(overrides: Sequence[str], options: Callable[[str], list[str]] = lambda group: []) -> list[list[str]]:
    """The grid: one list of overrides a job, the last key fastest. `glob(...)` stands for some `options` of a group.

    >>> expand(["seed=0,1", "optimizer=sgd"])
    [['seed=0', 'optimizer=sgd'], ['seed=1', 'optimizer=sgd']]
    """
    axes = []
    for override in parse(overrides, sweep=True):
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise HarnessError(f"{override.input_line}: a grid sweeps over lists of values: {key}=a,b,c")
            values = [f"{key}={value}" for value in _values(override, options)]
            if not values:
                raise HarnessError(f"{override.input_line} holds no value to sweep over")
            for value in values:
                parse([value])
            axes.append(values)
        else:
            axes.append([override.input_line or ""])
    return [list(job) for job in itertools.product(*axes)]


def _values(override: Override, options: Callable[[str], list[str]]) -> list[str]:
    if override.value_type != ValueType.GLOB_CHOICE_SWEEP:
        return texts(override)
    key = override.key_or_group
    if key not in GROUPS:
        raise HarnessError(f"{override.input_line}: glob stands for options of a group, and {key} is a value")
    pattern: Any = override.value()
    known = [name for name in options(key) if name != AUTO]
    names: list[str] = pattern.filter(known)
    if not names:
        raise HarnessError(f"{override.input_line}: no {key} has such a name.{suggest('', known)}")
    return [f"[{name}]" for name in names] if key in _LISTS and key != "experiment" else names


def readable(overrides: Sequence[str]) -> str:
    """A run's name: its overrides, without those that do not change its result."""
    kept = []
    for text in overrides:
        key = text.lstrip("+").split("=")[0]
        if key not in NOT_IDENTITY and key.split(".")[0] not in ("executor", "hydra"):
            kept.append(re.sub(r"^([^=]+)='([\w.-]*[^\x00-\x7f][\w.-]*)'$", r"\1=\2", text.lstrip("+")))
    return ",".join(kept) or "default"


def folder_name(overrides: Sequence[str], identity: str) -> str:
    """The run's folder: readable in any language, safe on every file system, and told apart by the identity."""
    name = unicodedata.normalize("NFC", re.sub("['\"]", "", readable(overrides)))
    safe = re.sub(r"[^\w=,.+-]+", "_", name)[:120].encode()[:FOLDER_BYTES].decode(errors="ignore").strip("._") or "run"
    return f"{safe}-{identity}"
