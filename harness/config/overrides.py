"""Parse the overrides typed on the command line, refuse mistakes early, and expand a sweep into its jobs."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException

from harness._compat.hydra import with_number
from harness.config import foreign_words
from harness.config.override_text import swept_texts
from harness.config.quoting import quoted
from harness.config.settings import NOT_IDENTITY
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.system.errors import HarnessError, shown, suggest

GROUPS = (*KINDS, "trainer", "experiment")
_LISTS = (*(kind.name for kind in KINDS.values() if kind.many), "experiment")
FOLDER_BYTES = 200  # length of the readable part of a folder's name; file systems allow 255 bytes for the whole
ZIP = "zip"  # the word zip=[KEY,KEY] of a sweep; it is no key of the config
_ADDED = re.compile(r"(?P<key>[\w.@/-]+)\+=(?P<values>.*)", re.S)  # KEY+=VALUES
_NUMBER = re.compile(r"([a-z_][a-z0-9_.]*)=((?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e-?[0-9]+)?)")  # KEY=NUMBER
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def parse(overrides: Sequence[str], sweep: bool = False) -> list[Override]:
    """Parse overrides with Hydra's grammar.

    Args:
        overrides: Overrides as typed.
        sweep: True if an override may hold several values.

    Raises:
        HarnessError: If an override cannot be read, names a Python object, has an unknown key or is given twice.
    """
    parsed = []
    seen: dict[str, str] = {}
    for text in overrides:
        override = _read(text)
        parsed.append(override)
        key = override.get_key_element().lstrip("+~")
        if not key:
            raise HarnessError(f"cannot read {text!r}: {_syntax_mistake(text)}")
        for name in _names(key, None if override.is_sweep_override() else override.value()):
            if name == "_target_":
                raise HarnessError(f"{key}: a config names components, it never names Python to import ({text})")
            if name == KEY:
                group = key.partition(".")[0]
                raise HarnessError(f"{text}: {KEY} is set by harness; choose a component with {group}=NAME")
        _check_key(text, key, override)
        if key in seen and not override.is_delete():
            raise HarnessError(f"{key} is given twice: {seen[key]} and {text}")
        seen[key] = text
        if override.is_sweep_override():
            if not sweep:
                raise HarnessError(
                    f"{text} holds several values: sweep over them with harness -m, or write a list [a,b]"
                )
        else:
            _check_choice(override, key)
    return parsed


@functools.lru_cache(4096)  # many jobs of a sweep share an override
def _read(text: str) -> Override:
    if "=" not in text and not text.startswith("~"):
        example = f", for example {text}=NAME" if text in GROUPS else ""
        raise HarnessError(f"{text!r} is not an override: write KEY=VALUE{example}")
    number = _NUMBER.fullmatch(text)  # of a sweep over thousands of seeds or rates
    try:
        return _parser().parse_override(text) if number is None else with_number(_zero(number[1]), number[2], text)
    except HydraException as error:
        raise HarnessError(f"cannot read {text!r}: {_syntax_mistake(text)}") from error


@functools.lru_cache(1024)
def _zero(key: str) -> Override:
    return _parser().parse_override(f"{key}=0")


@functools.cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _syntax_mistake(text: str) -> str:
    """Return the likeliest mistake in an override that cannot be parsed; Hydra's own message is about tokens."""
    if _ADDED.fullmatch(text):
        return "+= adds to the values of a sweep that a file declares: write harness -m experiment=NAME KEY+=VALUE"
    key, _, value = text.partition("=")
    if not key.strip("+~ "):
        return "there is no key before the ="
    if re.search(r"[^\w.@/+~:$-]", key):
        return "a key is made of names and dots, without a space before the ="
    for quote in "'\"":
        if value.count(quote) % 2:
            return f"a quotation mark {quote} is not closed"
    for opening, closing in _PAIRS.items():
        if value.count(opening) != value.count(closing):
            return f"{opening} and {closing} do not match"
    if re.search(r",\s*(,|$|\])|\[\s*,", value):
        return "a value is missing beside a comma"
    if re.search(r"\s[+~]*[A-Za-z_][\w.@/]*=", value):
        return "these are several overrides: write each as an argument of its own, without quotes around all of them"
    quoted = value.strip("'\"").replace('"', "").replace("'", "")
    return f"put a value with special characters in a second pair of quotes: {key}='\"{quoted}\"'"


def _names(key: str, value: Any) -> Iterator[str]:
    """Yield every name in an override's key, and in a dictionary that is its value."""
    yield from key.split(".")
    if isinstance(value, dict):
        for inner, more in value.items():
            yield from _names(str(inner), more)


def _check_key(text: str, key: str, override: Override) -> None:
    """Refuse an unknown key of another tool and the deletion of a kind. Hydra's message only has a key's first word."""
    path = key.partition("@")[0]
    if key == ZIP and not override.is_delete():
        raise HarnessError(f"{text} only has an effect in a sweep: write harness -m")
    first, *rest = path.split(".")
    kind = KINDS.get(first)
    if kind is not None and not rest and override.is_delete() and override.value_type is None:
        write = f"'{first}=[]' chooses none" if kind.many else f"write {foreign_words.default_of(first)}"
        raise HarnessError(f"{text}: a kind cannot be deleted; {write}")
    if text.startswith("+") and not rest:
        return  # a user's config folder may bring a group of that name
    known = path.partition("/")[0] if "/" in path else first
    nested = kind is not None and not kind.many and len(rest) > 1 and rest[0] in KINDS
    if (known not in foreign_words.top_level() or nested) and (instead := foreign_words.suggest_key(path)):
        raise HarnessError(f"unknown key {path!r}. {instead}")


def _check_choice(override: Override, key: str) -> None:
    """Refuse a choice that is not a name, or a list of names for a kind that takes a list."""
    if key not in GROUPS or override.is_delete():
        return
    text, value = override.input_line or "", override.value()
    if key in KINDS and (override.is_add() or override.is_force_add()):
        raise HarnessError(f"{key} has its choice already: write {text.lstrip('+')}, without +")
    if isinstance(value, dict):
        return  # not a choice: it sets keys of the chosen component
    if isinstance(value, list) and key not in _LISTS:
        raise HarnessError(f"{key} takes one choice, got a list: {text}")
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) and not _is_word(text, name):
            default = None if key in _LISTS else foreign_words.default_of(key)
            hint = f"; write '{key}=[]' to choose none" if key in _LISTS and name is None else ""
            hint = f"; the default is {default}" if default and name is None else hint
            raise HarnessError(f"{key} must be a name, got {shown(name)}{hint}")
        if names.count(name) > 1:
            raise HarnessError(f"{text}: {name!r} is chosen twice")


def quote_choices(overrides: Sequence[str]) -> list[str]:
    """Return overrides with quotes around each choice that Hydra would read as a number.

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
    """Return True if the value of a choice is a number to Hydra but was typed as a name."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and re.fullmatch(r"[\w.-]+", text.partition("=")[2].strip()) is not None


def take_zip(overrides: Sequence[str]) -> tuple[list[str], list[list[str]] | None]:
    """Split the word `zip=[KEY,KEY]` from the overrides of a sweep.

    Returns:
        The other overrides, and the groups of keys that vary together; None if the word is missing.

    Raises:
        HarnessError: If the word cannot be read or is given twice.

    >>> take_zip(["seed=0,1", "split.seed=2,3", "zip=[seed,split.seed]"])
    (['seed=0,1', 'split.seed=2,3'], [['seed', 'split.seed']])
    """
    zips = [text for text in overrides if text.partition("=")[0].lstrip("+").strip() == ZIP and "=" in text]
    if not zips:
        return list(overrides), None
    override = _read(zips[0])
    if len(zips) > 1 or override.is_sweep_override():
        raise HarnessError(f"{' '.join(zips)}: write several groups of keys as zip=[[a,b],[c,d]]")
    return [text for text in overrides if text not in zips], zip_groups(override.value())


def zip_groups(value: Any) -> list[list[str]]:
    """Return the groups of keys that vary together, from the value of `zip=` or `hydra.sweeper.zip`.

    Raises:
        HarnessError: If the value is neither a list of keys nor a list of such lists.

    >>> zip_groups(["seed", "split.seed"]), zip_groups([["seed", "split.seed"]]), zip_groups([])
    ([['seed', 'split.seed']], [['seed', 'split.seed']], [])
    """
    groups = value
    if isinstance(value, list) and value and not any(isinstance(group, list) for group in value):
        groups = [value]
    if not isinstance(groups, list) or not all(
        isinstance(group, list) and len(group) > 1 and all(isinstance(key, str) for key in group) for group in groups
    ):
        raise HarnessError(f"zip takes keys, zip=[a,b], or groups of keys, zip=[[a,b],[c,d]], got {shown(value)}")
    return [[key.lstrip("+") for key in group] for group in groups]


def take_added(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the words `KEY+=VALUES` from the overrides of a sweep.

    Returns:
        The other overrides, and the added values, each as `KEY=VALUES`.

    >>> take_added(["experiment=shapes", "optimizer+=mine"])
    (['experiment=shapes'], ['optimizer=mine'])
    """
    matches = [_ADDED.fullmatch(text) for text in overrides]
    others = [text for text, match in zip(overrides, matches, strict=True) if match is None]
    return others, [f"{match['key']}={match['values']}" for match in matches if match is not None]


def expand(
    overrides: Sequence[str],
    options: Callable[[str], list[str]] = lambda group: [],
    zips: Sequence[Sequence[str]] = (),
    variants: Sequence[Sequence[str]] = (),
    added: Sequence[str] = (),
) -> list[list[str]]:
    """Expand the overrides of a sweep into the grid of its jobs, the last key varying fastest.

    Args:
        overrides: Overrides of which some hold several values.
        options: Returns the options of a group, of which `glob(...)` selects some.
        zips: Groups of keys that vary together. They are one axis of the grid, in the place of the first of them.
        variants: Lists of overrides, each combined with the whole grid. The variant varies slowest.
        added: Values that follow those of a key of `overrides`, each as `KEY=VALUES`.

    Returns:
        One list of overrides for each job.

    Raises:
        HarnessError: If an override is refused or holds no discrete values, or if keys cannot be zipped or values
            cannot be added.

    >>> expand(["seed=0,1", "optimizer=sgd"])
    [['seed=0', 'optimizer=sgd'], ['seed=1', 'optimizer=sgd']]
    >>> expand(["seed=0,1", "split.seed=2,3"], zips=[["seed", "split.seed"]])
    [['seed=0', 'split.seed=2'], ['seed=1', 'split.seed=3']]
    >>> expand(["seed=0,1"], variants=[[], ["warmup=0.1"]])
    [['seed=0'], ['seed=1'], ['warmup=0.1', 'seed=0'], ['warmup=0.1', 'seed=1']]
    >>> expand(["seed=0,1"], added=["seed=5"])
    [['seed=0'], ['seed=1'], ['seed=5']]
    """
    axes = []
    parsed = parse(overrides, sweep=True)
    for override in parsed:
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise HarnessError(f"{override.input_line}: a grid needs a list of values: {key}=a,b,c")
            values = [f"{key}={value}" for value in _values(override, options)]
            if not values:
                raise HarnessError(f"{override.input_line} holds no value to sweep over")
            for value in values:
                parse([value])
            axes.append(values)
        else:
            axes.append([override.input_line or ""])
    _add(axes, parsed, added)
    leaders = _leaders(parsed, axes, zips)
    places = itertools.product(*(range(len(v)) if at == leaders[at] else (0,) for at, v in enumerate(axes)))
    grid = [[values[place[leader]] for values, leader in zip(axes, leaders, strict=True)] for place in places]
    checked = [_variant(number, variant, parsed) for number, variant in enumerate(variants, 1)]
    return [[*variant, *job] for variant in checked or [[]] for job in grid]


def _add(axes: Sequence[list[str]], parsed: Sequence[Override], added: Sequence[str]) -> None:
    """Append the added values of a key to its axis."""
    axis_of = {override.get_key_element().lstrip("+"): axis for override, axis in zip(parsed, axes, strict=True)}
    for override in itertools.chain.from_iterable(parse([text], sweep=True) for text in added):
        key, word = override.get_key_element(), (override.input_line or "").replace("=", "+=", 1)
        if key not in axis_of:
            raise HarnessError(f"{word}: {key} is not swept, so no value can be added.{suggest(key, axis_of)}")
        axis = axis_of[key]
        prefix = axis[0].partition("=")[0]
        values = swept_texts(override) if override.is_sweep_override() else [override.get_value_string().strip()]
        for value in values:
            text = f"{prefix}={value}"
            if text in axis:
                raise HarnessError(f"{word}: the sweep has {text} already")
            parse([text])
            axis.append(text)


def _leaders(parsed: Sequence[Override], axes: Sequence[list[str]], zips: Iterable[Sequence[str]]) -> list[int]:
    """Return, for each axis, the index of the axis that it varies with: its own, or the first of its zipped group."""
    keys = [override.get_key_element().lstrip("+~") for override in parsed]
    leaders = list(range(len(axes)))
    seen: set[str] = set()
    for group in zips:
        word = f"zip=[{','.join(group)}]"
        for key in group:
            if key in seen:
                raise HarnessError(f"{word}: {key} is zipped twice")
            seen.add(key)
            if key not in keys:
                swept = [name for name, override in zip(keys, parsed, strict=True) if override.is_sweep_override()]
                raise HarnessError(f"{word}: {key} is not swept.{suggest(key, swept)}")
            override = parsed[keys.index(key)]
            if not override.is_sweep_override():
                raise HarnessError(f"{word}: {override.input_line} is not swept; give it several values: {key}=a,b")
        at = sorted(keys.index(key) for key in group)
        if len({len(axes[index]) for index in at}) > 1:
            counts = ", ".join(f"{keys[index]} has {len(axes[index])}" for index in at)
            raise HarnessError(f"{word}: the keys must have equally many values; {counts}")
        for index in at:
            leaders[index] = at[0]
    return leaders


def _variant(number: int, variant: Sequence[str], parsed: Sequence[Override]) -> list[str]:
    """Return a variant's overrides; refuse a variant that sweeps, or sets a key of the grid or of Hydra."""
    if not isinstance(variant, (list, tuple)) or not all(isinstance(text, str) for text in variant):
        raise HarnessError(
            f"variant {number} must be a list of overrides, [model.depth=1,seed=2], got {shown(variant)}"
        )
    texts = quoted(variant)
    grid = {override.get_key_element().lstrip("+~"): override.input_line for override in parsed}
    try:
        own = parse(texts, sweep=True)
    except HarnessError as error:
        raise HarnessError(f"variant {number}: {error}") from error
    for override in own:
        key = override.get_key_element().lstrip("+~")
        if override.is_sweep_override():
            raise HarnessError(f"variant {number}: {override.input_line} holds several values: write several variants")
        if key in grid:
            raise HarnessError(f"variant {number}: {override.input_line} is also given for all variants: {grid[key]}")
        if override.is_hydra_override():
            raise HarnessError(f"variant {number}: {override.input_line} cannot vary; set it for the whole sweep")
    return texts


def _values(override: Override, options: Callable[[str], list[str]]) -> list[str]:
    if override.value_type != ValueType.GLOB_CHOICE_SWEEP:
        return swept_texts(override)
    key = override.key_or_group
    if key not in GROUPS:
        raise HarnessError(f"{override.input_line}: glob(...) selects options of a group, and {key} is a setting")
    pattern: Any = override.value()
    known = [name for name in options(key) if name != AUTO]
    names: list[str] = pattern.filter(known)
    if not names:
        raise HarnessError(f"{override.input_line}: no {key} matches.{suggest('', known)}")
    return [f"[{name}]" for name in names] if key in _LISTS and key != "experiment" else names


def run_name(overrides: Sequence[str]) -> str:
    """Return the name of a run: its overrides, without those that do not change its result."""
    parts = []
    for text in overrides:
        key = text.lstrip("+").split("=")[0]
        if key not in NOT_IDENTITY and key.split(".")[0] not in ("executor", "hydra"):
            parts.append(re.sub(r"^([^=]+)='([\w.-]*[^\x00-\x7f][\w.-]*)'$", r"\1=\2", text.lstrip("+")))
    return ",".join(parts) or "default"


def folder_name(overrides: Sequence[str], run_id: str) -> str:
    """Return the name of a run's folder: its readable name, safe on every file system, and its ID."""
    name = unicodedata.normalize("NFC", re.sub("['\"]", "", run_name(overrides)))
    safe = re.sub(r"[^\w=,.+-]+", "_", name)[:120].encode()[:FOLDER_BYTES].decode(errors="ignore").strip("._") or "run"
    return f"{safe}-{run_id}"
