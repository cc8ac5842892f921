"""Read scikit-learn's signatures: settings, with the ranges and choices that it checks itself."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from harness.space import NonFinite
from harness_components.bridges.signatures import LeftOut, setting
from harness_components.bridges.torch_words import sentence
from harness_sklearn._compat import Hidden, Interval, Options, RealNotInt

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ARGUMENT = re.compile(r"^(\w+) ?: .*\n((?:    .*\n|[ \t]*\n)+)", re.MULTILINE)
_SCALARS: dict[Any, Any] = {
    "boolean": bool, bool: bool, str: str, int: int, float: float,
    numbers.Integral: int, numbers.Real: float, RealNotInt: float,
}  # fmt: skip
_LEFT, _RIGHT = {"left": Ge, "both": Ge}, {"right": Le, "both": Le}
_GONE = ("deprecated", "warn")  # defaults of deprecated parameters


def snake(name: str) -> str:
    """Convert a class's name to a component's.

    >>> [snake(name) for name in ("SVC", "LinearSVC", "KNeighborsClassifier", "HistGradientBoostingRegressor")]
    ['svc', 'linear_svc', 'k_neighbors_classifier', 'hist_gradient_boosting_regressor']
    """
    return _WORDS.sub("_", name).lower()


def path(member: Any) -> str:
    """Return the public import path of a class or function, without private modules."""
    return ".".join([p for p in member.__module__.split(".") if not p.startswith("_")] + [member.__name__])


def described(member: Any, more: str) -> str:
    """Return the docstring of a component."""
    first = sentence(inspect.getdoc(member) or "") or f"The {path(member)} of scikit-learn."
    where = f"https://scikit-learn.org/stable/modules/generated/{path(member)}.html"
    return f"{first}\n\nComputed by {path(member)}; for details see\n{where}\n\n{more}\n"


def settings(
    function: Callable[..., Any], limits: Mapping[str, Iterable[Any]], doc: str, not_settings: Callable[[str], bool]
) -> list[inspect.Parameter]:
    """Return the parameters of a signature that are plain data.

    Raises:
        LeftOut: If a parameter without a default is not plain data.
    """
    converted = []
    for p in inspect.signature(function).parameters.values():
        if p.name == "self" or not_settings(p.name) or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if isinstance(p.default, str) and p.default in _GONE:
            continue
        if (setting := _setting(p, limits.get(p.name), doc)) is not None:
            converted.append(setting)
    return converted


def _setting(p: inspect.Parameter, limits: Iterable[Any] | None, doc: str) -> inspect.Parameter | None:
    """Convert a parameter to a setting; return None if it has no plain values beside its default."""
    required = p.default is p.empty
    hints = [type(p.default)] if limits is None else [h for limit in limits for h in _hints(limit, p.default)]
    hints = [None if hint is type(None) else hint for hint in dict.fromkeys(hints)]
    if isinstance(p.default, float) and not math.isfinite(p.default):
        hints.append(Annotated[float, NonFinite()])
    if required and not [h for h in hints if h is not None]:
        raise LeftOut(f"it needs {p.name}, which is no plain data")
    if not [h for h in hints if h is not None]:
        return None
    if lists := [hint for hint in hints if get_origin(_bare(hint)) in (list, tuple)]:
        hints = lists[:1]  # Hydra has no union of a list and another type; a list of one item is equivalent
    hint: Any = Union[tuple(hints)]  # noqa: UP007  # from a list
    return setting(p, hint, meaning(doc, p.name))


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _hints(limit: Any, default: Any) -> list[Any]:
    """Return the plain types that one of scikit-learn's constraints allows: none, or one."""
    if limit is None:
        return [None]
    if isinstance(limit, Hidden):
        return []
    if isinstance(limit, Interval):
        return [_interval(limit)]
    if isinstance(limit, Options):
        kept = sorted(limit.options - getattr(limit, "deprecated", set()), key=lambda o: (str(type(o)), o))
        plain = tuple(o for o in kept if type(o) in (str, int, bool))
        return [Literal[plain]] if plain else []
    if limit in ("array-like", list, tuple) and isinstance(default, (list, tuple)) and default:
        kinds = {type(item) for item in default}
        return [types.GenericAlias(tuple, (kinds.pop(), ...))] if len(kinds) == 1 else []
    return [_SCALARS[limit]] if limit in _SCALARS else []


def _interval(limit: Interval) -> Any:
    bounds: list[Any] = []
    if limit.left is not None and math.isfinite(limit.left):
        bounds.append(_LEFT.get(limit.closed, Gt)(limit.left))
    if limit.right is not None and math.isfinite(limit.right):
        bounds.append(_RIGHT.get(limit.closed, Lt)(limit.right))
    kind = _SCALARS[limit.type]
    return Annotated[(kind, *bounds)] if bounds else kind


def meaning(doc: str, name: str) -> str:
    """Return the first sentence on a parameter in a docstring."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(_arguments(doc).get(name, "").split())).replace("`", "")
    return textwrap.shorten(re.split(r"\.(?:\s|$)", text)[0].rstrip(",;:"), 120, placeholder=" ...")


@functools.lru_cache(8)
def _arguments(doc: str) -> dict[str, str]:
    """Return {name: text} for the parameters in a docstring."""
    return {found[1]: found[2] for found in _ARGUMENT.finditer(inspect.cleandoc(doc) + "\n")}
