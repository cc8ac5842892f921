"""Quote values with special characters for Hydra's grammar, since the shell has removed the user's own quotes."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from harness.config.settings import scalar_settings
from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import KINDS
from harness.registry.param_types import describe

_KEY = re.compile(r"\+{0,2}(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.S)
SPACES = "tune.space."  # keys whose values are calls: log(1e-4,1e-1)
_OPENING = {"[": "]", "(": ")", "{": "}"}


def quoted(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """Return overrides in which values of text settings are quoted if Hydra could not parse them otherwise.

    Args:
        overrides: Overrides as typed.
        sweep: True if commas separate values to sweep over.

    >>> quoted(["data.path=train (1).csv", "epochs=2"])
    ["data.path='train (1).csv'", 'epochs=2']
    """
    return [_quoted(text, sweep) for text in overrides]


def _quoted(text: str, sweep: bool) -> str:
    match = _KEY.fullmatch(text)
    if match is not None and match["key"].startswith(SPACES) and match["value"].strip()[:1] not in ("", "'", '"'):
        return f"{text[: match.start('value')]}{_in_quotes(match['value'])}"  # choice(a,b) is a sweep to Hydra
    if match is None or not match["value"] or _parses(text) or not _takes_text(match["key"]):
        return text
    key, value = text[: match.start("value")], match["value"]
    values = _split(value) if sweep else [value]
    if not all(part.strip() for part in values):
        values = [value]  # data.separator=,
    candidate = key + ",".join(_quoted_value(part) for part in values)
    return candidate if _parses(candidate) else text


def _quoted_value(value: str) -> str:
    value = value.strip()
    if _parses(f"k={value}"):
        return value
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_quoted_value(part) for part in _split(value[1:-1]))}]"
    if value[:1] in "'\"" or value[:1] == "[" or "${" in value:
        return value  # an unclosed quotation mark, list or interpolation is a mistake
    return _in_quotes(value)


def _in_quotes(value: str) -> str:
    escaped = re.sub(r"\\+(?='|$)", lambda match: 2 * match[0], value).replace("'", "\\'")
    return f"'{escaped}'"


def _split(value: str) -> list[str]:
    """Split a value at its commas outside of quotes and brackets. A quote within a word does not open a quotation."""
    parts: list[str] = []
    closing: list[str] = []
    start, quote = 0, ""
    for index, char in enumerate(value):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not value[start:index].strip():
            quote = char
        elif char in _OPENING:
            closing.append(_OPENING[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif char == "," and not closing:
            parts.append(value[start:index])
            start = index + 1
    return [*parts, value[start:]]


@functools.lru_cache(4096)
def _parses(text: str) -> bool:
    try:
        override = _parser().parse_override(text)
        if not override.is_sweep_override():
            override.value()
    except HydraException:
        return False
    return True


@functools.cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _takes_text(key: str) -> bool:
    """Return True if a setting of this name may hold text."""
    kind, _, name = key.partition(".")
    if kind not in KINDS:
        return any(p.name == key and "string" in describe(p.hint) for p in scalar_settings())
    name = name.rpartition(".")[2]
    entries = catalogue.current().entries.get(kind, {}).values()
    return any(p.name == name and "string" in describe(p.hint) for entry in entries for p in entry_parameters(entry))
