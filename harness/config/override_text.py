"""Restore the text of an override whose value Hydra has parsed as something else.

To Hydra `2024_01_15` is the number 20240115, `1e5` is 100000.0 and `null` is None. A string setting gets the text that
was typed.
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

_WORD = re.compile(r"[\w.+-]+")  # excludes calls such as int(3)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def split_value(text: str, separator: str = ",") -> list[str]:
    r"""Split a value at the separators outside of quotes and brackets.

    >>> split_value("2024_01, [1e5,b], 'c,d'")
    ['2024_01', '[1e5,b]', "'c,d'"]
    """
    parts, start, depth, quote, index = [], 0, 0, "", 0
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _CLOSING:
            depth += 1
        elif char in _CLOSING.values():
            depth -= 1
        elif char == separator and not depth:
            parts.append(text[start:index].strip())
            start = index + 1
        index += 1
    return [*parts, text[start:].strip()]


def swept_texts(override: Override) -> list[str]:
    """Return the values of a sweep as text: as typed, or as Hydra writes them for a range or a call."""
    text = override.get_value_string().strip()
    if call := re.fullmatch(r"choice\((.*)\)", text, re.DOTALL):
        text = call[1]
    values = list(override.sweep_string_iterator())
    typed = split_value(text)
    return typed if override.is_choice_sweep() and len(typed) == len(values) and "(" not in text else values


def as_typed(overrides: Iterable[Override], config: DictConfig) -> list[str]:
    """Return overrides in which the values of string settings are quoted, so that Hydra keeps their text.

    Args:
        overrides: Parsed overrides, also of sweeps.
        config: A config that they compose, for the types of the settings.
    """
    return [_quoted(override, config) or str(override.input_line) for override in overrides]


def put_texts(overrides: Iterable[Override], config: DictConfig) -> None:
    """Restore the text of string settings in a composed config, in place.

    Args:
        overrides: The overrides that the config was composed from.
        config: The config to change.
    """
    for override in overrides:
        if override.is_sweep_override() or override.is_delete() or override.package is not None:
            continue
        value = override.value()
        restored = _restored(override.key_or_group, value, override.get_value_string(), config)
        if not _same(restored, value):
            OmegaConf.update(config, override.key_or_group, restored, merge=True, force_add=True)


def wants_text(key: str, value: Any, config: DictConfig) -> bool:
    """Return True if a value is a number, boolean or null, and its key only allows text."""
    return not _same(_restored(key, value, "text", config), value)


def _quoted(override: Override, config: DictConfig) -> str | None:
    if override.is_delete() or override.package is not None:
        return None
    key = override.key_or_group
    if not override.is_sweep_override():
        value = override.value()
        restored = _restored(key, value, override.get_value_string(), config)
        return None if _same(restored, value) else f"{override.get_key_element()}={written(restored)}"
    if not override.is_choice_sweep() or not hasattr(override.value(), "list"):
        return None
    values = swept_values(override)
    typed = swept_texts(override)
    restored = [_restored(key, value, text, config) for value, text in zip(values, typed, strict=True)]
    return None if _same(restored, values) else f"{override.get_key_element()}={','.join(map(written, restored))}"


def _restored(key: str, value: Any, text: str, config: DictConfig) -> Any:
    if isinstance(value, dict):
        pairs = [split_value(pair, ":") for pair in split_value(text.strip()[1:-1])]
        typed = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        return {k: _restored(f"{key}.{k}", v, typed.get(str(k), ""), config) for k, v in value.items()}
    if isinstance(value, str):
        return value
    parent, _, _ = key.rpartition(".")
    hint = declared(key, OmegaConf.select(config, parent) if parent else config)
    return value if hint is None else _fitting(hint, value, text.strip())


def _fitting(hint: Any, value: Any, text: str) -> Any:
    """Return the value, or the text if the hint allows the text and not the value."""
    hint = _bare(hint)
    if isinstance(value, list):
        item_types = typing.get_args(hint)
        if typing.get_origin(hint) not in (list, tuple) or not value:
            return value
        hints: Sequence[Any] = (
            [item_types[0]] * len(value) if len(item_types) == 1 or Ellipsis in item_types else item_types
        )
        typed = split_value(text[1:-1])
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
    """Strip annotations from a hint, and None from a union of None and a list or tuple."""
    if typing.get_origin(hint) is Annotated:
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (Union, types.UnionType):
        several = [_bare(a) for a in typing.get_args(hint) if a is not type(None)]
        return several[0] if len(several) == 1 and typing.get_origin(several[0]) in (list, tuple) else hint
    return hint


def _same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # 1 differs from "1", and nan equals nan


def written(value: Any) -> str:
    """Write a value as an override holds it, with quotes around every text.

    >>> written([[], ["optimizer=sgd"]])
    "[[],['optimizer=sgd']]"
    """
    return value_text(_in_quotes(value))


def _in_quotes(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _in_quotes(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_quotes(v) for v in value]
    return QuotedString(value, Quote.single) if isinstance(value, str) else value
