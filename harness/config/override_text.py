"""The text of an override's value, where Hydra has made something else of it: to Hydra `2024_01_15` is the number
20240115, `1e5` is 100000.0 and `null` is None. A string parameter gets what was typed.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union

from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from harness._compat.hydra import swept_values, value_text
from harness.config.error_messages import declared
from harness.registry.param_types import convert

_WORD = re.compile(r"[\w.+-]+")  # a call such as int(3) is no text
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def pieces(text: str, separator: str = ",") -> list[str]:
    r"""Split a value at the separators that stand outside of quotes and brackets.

    >>> pieces("2024_01, [1e5,b], 'c,d'")
    ['2024_01', '[1e5,b]', "'c,d'"]
    """
    found, start, open_, quote, place = [], 0, 0, "", 0
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _CLOSING:
            open_ += 1
        elif char in _CLOSING.values():
            open_ -= 1
        elif char == separator and not open_:
            found.append(text[start:place].strip())
            start = place + 1
        place += 1
    return [*found, text[start:].strip()]


def texts(override: Override) -> list[str]:
    """The values of a sweep, each as it was typed where it was typed, and otherwise as Hydra writes it."""
    text = override.get_value_string().strip()
    if call := re.fullmatch(r"choice\((.*)\)", text, re.DOTALL):
        text = call[1]
    values = list(override.sweep_string_iterator())
    typed = pieces(text)
    return typed if override.is_choice_sweep() and len(typed) == len(values) and "(" not in text else values


def as_typed(overrides: Iterable[Override], config: DictConfig) -> list[str]:
    """The overrides, with quotes around what a string parameter wants as it was typed.

    Args:
        overrides: Parsed overrides, also sweeps.
        config: A config that they compose, which tells what components are chosen.
    """
    return [_quoted(override, config) or str(override.input_line) for override in overrides]


def put_texts(overrides: Iterable[Override], config: DictConfig) -> None:
    """Put what was typed in place of what Hydra has made of it, in the config that the overrides have composed."""
    for override in overrides:
        if override.is_sweep_override() or override.is_delete() or override.package is not None:
            continue
        value = override.value()
        found = _restored(override.key_or_group, value, override.get_value_string(), config)
        if not _same(found, value):
            OmegaConf.update(config, override.key_or_group, found, merge=True, force_add=True)


def wants_text(key: str, value: Any, config: DictConfig) -> bool:
    """Whether a number, boolean or null would be put where only text is allowed."""
    return not _same(_restored(key, value, "text", config), value)


def _quoted(override: Override, config: DictConfig) -> str | None:
    if override.is_delete() or override.package is not None:
        return None
    key = override.key_or_group
    if not override.is_sweep_override():
        value = override.value()
        found = _restored(key, value, override.get_value_string(), config)
        return None if _same(found, value) else f"{override.get_key_element()}={_written(found)}"
    if not override.is_choice_sweep() or not hasattr(override.value(), "list"):
        return None
    values = swept_values(override)
    typed = texts(override)
    found = [_restored(key, value, text, config) for value, text in zip(values, typed, strict=True)]
    return None if _same(found, values) else f"{override.get_key_element()}={','.join(map(_written, found))}"


def _restored(key: str, value: Any, text: str, config: DictConfig) -> Any:
    if isinstance(value, dict):
        pairs = [pieces(pair, ":") for pair in pieces(text.strip()[1:-1])]
        inside = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        return {k: _restored(f"{key}.{k}", v, inside.get(str(k), ""), config) for k, v in value.items()}
    if isinstance(value, str):
        return value
    parent, _, _ = key.rpartition(".")
    hint = declared(key, OmegaConf.select(config, parent) if parent else config)
    return value if hint is None else _fitting(hint, value, text.strip())


def _fitting(hint: Any, value: Any, text: str) -> Any:
    """The value, or the text where the hint allows that and not the value."""
    hint = _bare(hint)
    if isinstance(value, list):
        each = typing.get_args(hint)
        if typing.get_origin(hint) not in (list, tuple) or not value:
            return value
        hints: Sequence[Any] = [each[0]] * len(value) if len(each) == 1 or Ellipsis in each else each
        typed = pieces(text[1:-1])
        if not len(hints) == len(value) == len(typed):
            return value
        return [_fitting(h, v, t) for h, v, t in zip(hints, value, typed, strict=True)]
    if isinstance(value, str) or not _WORD.fullmatch(text) or _allows(hint, value) or not _allows(hint, text):
        return value
    return text


def _allows(hint: Any, value: Any) -> bool:
    try:
        convert(hint, value)
    except ValueError:
        return False
    return True


def _bare(hint: Any) -> Any:
    """A hint without annotations; of a list or None, the list."""
    if typing.get_origin(hint) is Annotated:
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (Union, types.UnionType):
        several = [_bare(a) for a in typing.get_args(hint) if a is not type(None)]
        return several[0] if len(several) == 1 and typing.get_origin(several[0]) in (list, tuple) else hint
    return hint


def _same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # 1 is no "1", and nan is nan


def _written(value: Any) -> str:
    return value_text(_in_quotes(value))


def _in_quotes(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _in_quotes(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_in_quotes(v) for v in value]
    return QuotedString(value, Quote.single) if isinstance(value, str) else value
