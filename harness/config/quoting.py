"""Values with special characters, quoted for Hydra's grammar: a person's own shell takes one pair of quotes already."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from harness.config.schema import of_entry
from harness.config.settings import rows
from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.registry.param_types import describe

_KEY = re.compile(r"\+{0,2}(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.S)
_OPENING = {"[": "]", "(": ")", "{": "}"}


def quoted(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """Overrides that Hydra can read: values of text settings that it cannot are quoted.

    Args:
        overrides: as they were typed.
        sweep: whether commas divide values to sweep over.

    >>> quoted(["data.path=train (1).csv", "epochs=2"])
    ["data.path='train (1).csv'", 'epochs=2']
    """
    return [_quoted(text, sweep) for text in overrides]


def _quoted(text: str, sweep: bool) -> str:
    match = _KEY.fullmatch(text)
    if match is None or not match["value"] or _reads(text) or not _takes_text(match["key"]):
        return text
    key, value = text[: match.start("value")], match["value"]
    values = _divided(value) if sweep else [value]
    if not all(part.strip() for part in values):
        values = [value]  # data.separator=,
    made = key + ",".join(_value(part) for part in values)
    return made if _reads(made) else text


def _value(value: str) -> str:
    value = value.strip()
    if _reads(f"k={value}"):
        return value
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_value(part) for part in _divided(value[1:-1]))}]"
    if value[:1] in "'\"" or value[:1] == "[" or "${" in value:
        return value  # an open quotation mark, list or interpolation: a mistake
    escaped = re.sub(r"\\+(?='|$)", lambda found: 2 * found[0], value).replace("'", "\\'")
    return f"'{escaped}'"


def _divided(value: str) -> list[str]:
    """A value at its commas, but for those within quotes or brackets."""
    parts: list[str] = []
    closing: list[str] = []
    start, quote = 0, ""
    for place, char in enumerate(value):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not value[start:place].strip():
            quote = char
        elif char in _OPENING:
            closing.append(_OPENING[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif char == "," and not closing:
            parts.append(value[start:place])
            start = place + 1
    return [*parts, value[start:]]


@functools.lru_cache(4096)
def _reads(text: str) -> bool:
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
    """Whether some setting of this name may hold text."""
    kind, _, name = key.partition(".")
    if kind not in KINDS:
        return any(p.name == key and "string" in describe(p.hint) for p in rows())
    name = name.rpartition(".")[2]
    entries = catalogue.current().entries.get(kind, {}).values()
    return any(p.name == name and "string" in describe(p.hint) for entry in entries for p in of_entry(entry))
