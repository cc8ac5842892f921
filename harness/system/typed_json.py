"""Check that JSON from a file has the declared types, so that wrong data is reported when it is read."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

Check = Callable[[Any], str | None]  # returns the mistake in a value, or None
MAX_INT = 1 << 63  # beyond it, arithmetic with floats and arrays raises
MAX_DEPTH = 100  # nesting of lists and mappings


@dataclass(frozen=True)
class Pattern:
    """Regular expression that a text must match."""

    text: str


@dataclass(frozen=True)
class OneOf:
    """Texts of which a text must be one."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Longest:
    """Largest number of characters of a text."""

    characters: int


@dataclass(frozen=True, eq=False)  # hashed as itself: a mapping has no hash
class Keys:
    """Types of some keys of a mapping. Other keys are allowed; a key may be missing unless all are `needed`."""

    types: Mapping[str, Any]
    needed: bool = False


def checker(hint: Any) -> Check:
    """Return a fast check of decoded JSON against a type.

    Args:
        hint: str, int, float (also allows whole numbers), bool, None, Any, a union, list, dict, or Annotated with
            Pattern, OneOf, Longest or Keys.

    >>> check = checker(dict[str, float | None])
    >>> check({"a": 1.5, "b": None}), check({"a": "x"})
    (None, "'a' must be float | None, got 'x'")
    """
    if hint is Any:
        return lambda value: None
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(args[0], args[1:])
    if origin is dict:
        return _mapping(args[1] if args else Any)
    if origin is list:
        return _items(args[0])
    return _scalar(hint)


def _scalar(hint: Any) -> Check:
    union = get_origin(hint) in (Union, types.UnionType)
    options = get_args(hint) if union else (hint,)
    plain = tuple(_types(options))
    others = [checker(option) for option in options if get_origin(option) is not None]
    name = " | ".join(_name(option) for option in options)

    def check(value: Any) -> str | None:
        kind = type(value)
        if kind in plain:
            return _too_large(value) if kind is int else None
        if any(other(value) is None for other in others):
            return None
        return f"must be {name}, got {_shown(value)}"

    return check


def _name(hint: Any) -> str:
    origin = get_origin(hint)
    if hint is type(None):
        return "None"
    return "a mapping" if origin is Annotated else str(hint) if origin is not None else str(hint.__name__)


def _types(options: Iterable[Any]) -> list[type]:
    """Return the exact types that are allowed, so that True does not pass for a number."""
    scalars = {option for option in options if get_origin(option) is None}
    return [*scalars, int] if float in scalars else list(scalars)


def _mapping(inner: Any) -> Check:
    if inner is Any:
        return lambda value: None if type(value) is dict else f"must be a mapping, got {_shown(value)}"
    check, plain = checker(inner), _plain(inner)

    def each(value: Any) -> str | None:
        if type(value) is not dict:
            return f"must be a mapping, got {_shown(value)}"
        if plain.issuperset(map(type, value.values())):
            return None
        for key, item in value.items():
            if type(item) not in plain and (wrong := check(item)) is not None:
                return f"{_shown(key)} {wrong}"
        return None

    return each


def _plain(hint: Any) -> frozenset[type]:
    """Return the types of which every value passes, so that most values of a record need no check."""
    union = get_origin(hint) in (Union, types.UnionType)
    options = get_args(hint) if union else (hint,)
    return frozenset({str, float, bool, type(None)}.intersection(option for option in options if option is not Any))


def _items(inner: Any) -> Check:
    check = checker(inner)

    def each(value: Any) -> str | None:
        if type(value) is not list:
            return f"must be a list, got {_shown(value)}"
        return next((f"item {i} {wrong}" for i, item in enumerate(value) if (wrong := check(item)) is not None), None)

    return each


def _annotated(hint: Any, marks: tuple[Any, ...]) -> Check:
    check = checker(hint)
    mark_checks = [_mark_check(mark) for mark in marks if isinstance(mark, (Pattern, OneOf, Longest, Keys))]
    if not mark_checks:
        return check
    if len(mark_checks) > 1:
        checks = (check, *mark_checks)
        return lambda value: next((mistake for c in checks if (mistake := c(value)) is not None), None)
    (mark_check,) = mark_checks
    return lambda value: mark_check(value) if (mistake := check(value)) is None else mistake


def _mark_check(mark: Pattern | OneOf | Longest | Keys) -> Check:
    if isinstance(mark, Pattern):
        match = re.compile(mark.text).fullmatch
        return lambda value: None if match(value) else f"must match {mark.text}, got {_shown(value)}"
    if isinstance(mark, OneOf):
        known = frozenset(mark.texts)
        return lambda value: None if value in known else f"must be one of {', '.join(mark.texts)}, got {_shown(value)}"
    if isinstance(mark, Longest):
        most = mark.characters
        return lambda value: None if len(value) <= most else f"must have at most {most} characters, got {len(value)}"
    return _keys(mark.types, mark.needed)


def _keys(hints: Mapping[str, Any], needed: bool) -> Check:
    checks = {key: (_plain(hint), checker(hint)) for key, hint in hints.items()}

    def each(value: dict[str, Any]) -> str | None:
        for key, (plain, check) in checks.items():
            if key in value and type(value[key]) not in plain and (wrong := check(value[key])) is not None:
                return f"{key!r} {wrong}"
            if needed and key not in value:
                return f"{key!r} is missing"
        return None

    return each


def _too_large(value: int) -> str | None:
    return None if -MAX_INT <= value < MAX_INT else "must be a number below 2^63"


def _shown(value: Any) -> str:
    """Return a value as a short text for a message, without formatting large values."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not -MAX_INT <= value < MAX_INT:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def refuse_depth(text: bytes | str) -> None:
    """Refuse JSON that is nested too deep. The check is fast for a text with few brackets.

    Raises:
        ValueError: If it is nested more than MAX_DEPTH levels deep.
    """
    plain = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if plain.count(b"]") + plain.count(b"}") <= MAX_DEPTH or _is_flat(plain):
        return
    depth = 0
    for bracket in re.findall(rb"[\[{\]}]", re.sub(rb'"(?:[^"\\]|\\.)*"?', b"", plain, flags=re.DOTALL)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _is_flat(text: bytes) -> bool:
    """Return True for most texts with little nesting, by a fast test.

    Innermost pairs of brackets are removed repeatedly, until none is left. The answer may be False if a bracket is
    inside of a string.
    """
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    rest = text.translate(None, _NO_BRACKETS).replace(b'""', b"")
    for _ in range(_FLAT_ROUNDS):
        rest = rest.replace(b"{}", b"").replace(b"[]", b"")
    return not rest


_NO_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))
_FLAT_ROUNDS = 16  # each round removes two levels of `[{}]`
