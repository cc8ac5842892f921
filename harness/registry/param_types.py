"""Encode the types of component parameters as JSON, and check values against them.

A hint is the annotation of a parameter, possibly with `Annotated` at any depth. `encode` turns it into JSON for the
cached catalogue, `decode` turns that back without importing the component, `convert` checks a value.
"""

from __future__ import annotations

import enum
import functools
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Union

import annotated_types as at

from harness.space import SPACES, NonFinite, Space
from harness.system.errors import shown

SCALARS: dict[str, type] = {"float": float, "int": int, "str": str, "bool": bool, "None": type(None)}
_BOUNDS: dict[str, tuple[type, str]] = {  # {JSON name: (annotation, its attribute)}
    "gt": (at.Gt, "gt"),
    "ge": (at.Ge, "ge"),
    "lt": (at.Lt, "lt"),
    "le": (at.Le, "le"),
    "multiple_of": (at.MultipleOf, "multiple_of"),
    "min_length": (at.MinLen, "min_length"),
    "max_length": (at.MaxLen, "max_length"),
}
_SINGLE = (str, Space, NonFinite, *(kind for kind, _ in _BOUNDS.values()))
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def unfold(metadata: Iterable[Any]) -> list[Any]:
    """Return single bounds from a mix of bounds and groups of bounds (`Interval`, `Len`)."""
    flat: list[Any] = []
    for item in metadata:
        # isinstance with the protocol GroupedMetadata takes microseconds; skip it for the types known here
        single = isinstance(item, _SINGLE) or not isinstance(item, at.GroupedMetadata)
        flat.extend([item] if single else unfold(item))
    return flat


def bounds_of(metadata: Iterable[Any]) -> dict[str, Any]:
    """Return the bounds in the annotations of a type, as {"gt": 0, ...}."""
    bounds: dict[str, Any] = {}
    for item in unfold(metadata):
        for name, (kind, attribute) in _BOUNDS.items():
            if type(item) is kind:
                bound = getattr(item, attribute)
                tighter = {"gt": max, "ge": max, "min_length": max, "lt": min, "le": min, "max_length": min}.get(name)
                bounds[name] = tighter(bounds[name], bound) if tighter and name in bounds else bound
    return bounds


def encode(hint: Any) -> Any:
    """Convert a hint to JSON.

    >>> encode(float | None)
    {'union': ['float', 'None']}
    """
    if hint is None:
        return "None"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        row: dict[str, Any] = {"of": encode(arguments[0])}
        metadata = arguments[1:]
        if bounds := bounds_of(metadata):
            row["bounds"] = bounds
        for item in metadata:
            if isinstance(item, Space):
                values = item.options if hasattr(item, "options") else vars(item).values()
                row["space"] = {type(item).__name__: [v.name if isinstance(v, enum.Enum) else v for v in values]}
            elif isinstance(item, str):
                row["doc"] = item
            elif isinstance(item, NonFinite):
                row["non_finite"] = True
        return row
    if origin in (Union, types.UnionType):
        several = [a for a in arguments if a is not type(None)]
        if len(several) > 1 and any(typing.get_origin(_bare(a)) in (list, tuple) for a in several):
            raise TypeError(f"{hint!r} mixes a list with another type, which a config cannot hold: use the list alone")
        return {"union": [encode(a) for a in arguments]}
    if origin is Literal and all(type(a) in SCALARS.values() for a in arguments):
        return {"literal": list(arguments)}
    if origin is list and len(arguments) == 1:
        return {"list": encode(arguments[0])}
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"list": encode(arguments[0]), "as": "tuple"}
    if origin is tuple and arguments:
        return {"tuple": [encode(a) for a in arguments]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": list(hint.__members__), "name": hint.__name__}
    for name, scalar in SCALARS.items():
        if hint is scalar:
            return name
    raise TypeError(f"{hint!r} is not plain data (numbers, strings, booleans, None, Enum, Literal, lists, tuples)")


def decode(row: Any) -> Any:
    """Convert JSON to a hint. An Enum becomes a substitute with the same member names."""
    if isinstance(row, str):
        return SCALARS[row]
    if "of" in row:
        metadata: list[Any] = [_BOUNDS[name][0](value) for name, value in row.get("bounds", {}).items()]
        metadata += [SPACES[name](*values) for name, values in row.get("space", {}).items()]
        metadata += [NonFinite()] if row.get("non_finite") else []
        metadata += [row["doc"]] if "doc" in row else []
        return Annotated[(decode(row["of"]), *metadata)] if metadata else decode(row["of"])
    if "union" in row:
        return Union[tuple(decode(r) for r in row["union"])]  # noqa: UP007  # from a list
    if "literal" in row:
        return Literal[tuple(row["literal"])]
    if "list" in row:
        inner: Any = decode(row["list"])
        return types.GenericAlias(tuple, (inner, ...)) if row.get("as") == "tuple" else types.GenericAlias(list, inner)
    if "tuple" in row:
        return tuple[tuple(decode(r) for r in row["tuple"])]  # type: ignore[misc]
    return enum.Enum(row["name"], {member: member for member in row["enum"]})


def convert(hint: Any, value: Any) -> Any:
    """Convert a value to the type of a hint: lists to tuples, names to members of an Enum, integers to floats.

    Raises:
        ValueError: If the hint does not allow the value; the message says what it allows.

    >>> convert(tuple[float, float], [0.9, 1])
    (0.9, 1.0)
    >>> convert(Annotated[float, at.Gt(0)], -1)
    Traceback (most recent call last):
    ValueError: must be > 0, got -1
    """
    return _convert(hint, value, finite=True)


def _convert(hint: Any, value: Any, finite: bool) -> Any:
    try:
        origin, arguments, bounds, loose = _taken_apart(hint)
    except TypeError:  # an annotation of a plugin that cannot be hashed
        origin, arguments, bounds, loose = _taken_apart.__wrapped__(hint)
    if origin is Annotated:
        result = _convert(arguments[0], value, finite and not loose)
        _check_bounds(result, value, bounds)
        return result
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, finite)
    if origin is Literal:
        for option in arguments:
            if type(value) is type(option) and value == option:
                return option
        raise ValueError(f"must be {describe(hint)}, got {shown(value)}")
    if origin in (list, tuple):
        return _convert_sequence(hint, origin, arguments, value, finite)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        if isinstance(value, hint):
            return value
        if isinstance(value, str) and value in hint.__members__:
            return hint[value]
        raise ValueError(f"must be {describe(hint)}, got {shown(value)}")
    if hint is float and type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if finite and not math.isfinite(number):
            raise ValueError(f"must be a finite number, got {number}")
        return number
    if type(value) is hint:
        return value
    raise ValueError(f"must be {describe(hint)}, got {shown(value)}")


@functools.lru_cache(4096)
def _taken_apart(hint: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any], bool]:
    """Return the origin, the arguments and the bounds of a hint, and True if it allows numbers that are not finite."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is not Annotated:
        return origin, arguments, {}, False
    return origin, arguments, bounds_of(arguments[1:]), any(isinstance(item, NonFinite) for item in arguments[1:])


def _convert_union(options: tuple[Any, ...], value: Any, finite: bool) -> Any:
    problems = []
    # try the type of the value first, so that 1 stays an int in int | float, and None stays None
    for option in sorted(options, key=lambda o: type(value) is not _bare(o)):
        try:
            return _convert(option, value, finite)
        except ValueError as error:
            problems.append((type(value) is _bare(option), str(error)))
    exact = [text for same_type, text in problems if same_type]
    names = " or ".join(describe(option) for option in options)
    raise ValueError(exact[0] if exact else f"must be {names}, got {shown(value)}")


def _convert_sequence(hint: Any, origin: Any, arguments: tuple[Any, ...], value: Any, finite: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"must be {describe(hint)}, got {shown(value)}")
    if origin is tuple and Ellipsis not in arguments:
        if len(value) != len(arguments):
            raise ValueError(f"must have {len(arguments)} values, got {len(value)}")
        return tuple(_convert(a, v, finite) for a, v in zip(arguments, value, strict=True))
    return origin(_convert(arguments[0], v, finite) for v in value)


def _bare(hint: Any) -> Any:
    return _bare(typing.get_args(hint)[0]) if typing.get_origin(hint) is Annotated else hint


def _check_bounds(result: Any, value: Any, bounds: dict[str, Any]) -> None:
    for name, bound in bounds.items():
        if name in ("min_length", "max_length"):
            if not hasattr(result, "__len__"):
                continue  # the value is of another member of the union, which has no length
            length = len(result)
            if length < bound if name == "min_length" else length > bound:
                raise ValueError(
                    f"must have at {'least' if name == 'min_length' else 'most'} {bound} values, got {length}"
                )
        elif result is not None and not isinstance(result, (str, enum.Enum)) and not _WITHIN[name](result, bound):
            wanted = f"{_SIGNS[name]} {bound}" if name in _SIGNS else f"a multiple of {bound}"
            raise ValueError(f"must be {wanted}, got {shown(value)}")


def _is_multiple(value: Any, of: Any) -> bool:
    if isinstance(value, float) or isinstance(of, float):
        return math.isclose(value, round(value / of) * of, rel_tol=1e-9)  # 0.3 is a multiple of 0.1
    return bool(value % of == 0)


_WITHIN: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "multiple_of": _is_multiple,
}


def describe(hint: Any) -> str:
    """Describe a hint in words, for help and error messages.

    >>> describe(Annotated[float, at.Interval(gt=0, le=1)])
    'a number > 0, <= 1'
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        limits = ", ".join(
            f"{_SIGNS[n]} {b}" if n in _SIGNS else f"{n.replace('_', ' ')} {b}"
            for n, b in bounds_of(arguments[1:]).items()
        )
        return f"{describe(arguments[0])} {limits}".strip()
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments)
    if origin is Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(str(a) for a in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"{len(arguments)} values ({'; '.join(describe(a) for a in arguments)})"
    if origin in (list, tuple):
        return f"a list, each {describe(arguments[0])}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "one of " + ", ".join(hint.__members__)
    return {float: "a number", int: "a whole number", str: "a string", bool: "true or false"}.get(hint, "null")


def space_of(hint: Any) -> Space | None:
    """Return the search space in a hint, or None."""
    if typing.get_origin(hint) is Annotated:
        return next((item for item in typing.get_args(hint)[1:] if isinstance(item, Space)), None)
    return None


def doc_of(hint: Any) -> str:
    """Return the text in a hint, or the empty string."""
    if typing.get_origin(hint) is Annotated:
        return next((item for item in typing.get_args(hint)[1:] if isinstance(item, str)), "")
    return ""
