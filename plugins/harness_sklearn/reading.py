"""What scikit-learn's signatures tell: settings, with the ranges and choices that it checks itself."""

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
_GONE = ("deprecated", "warn")  # what stands for the default of a parameter that is on its way out


def snake(name: str) -> str:
    """A component's name from a class's.

    >>> [snake(name) for name in ("SVC", "LinearSVC", "KNeighborsClassifier", "HistGradientBoostingRegressor")]
    ['svc', 'linear_svc', 'k_neighbors_classifier', 'hist_gradient_boosting_regressor']
    """
    return _WORDS.sub("_", name).lower()


def path(member: Any) -> str:
    """Where a class or function is imported from: the private modules are no part of it."""
    return ".".join([p for p in member.__module__.split(".") if not p.startswith("_")] + [member.__name__])


def described(member: Any, more: str) -> str:
    """The docstring of its component."""
    first = sentence(inspect.getdoc(member) or "") or f"The {path(member)} of scikit-learn."
    where = f"https://scikit-learn.org/stable/modules/generated/{path(member)}.html"
    return f"{first}\n\nComputed by {path(member)}; what it does stands at\n{where}\n\n{more}\n"


def settings(
    function: Callable[..., Any], limits: Mapping[str, Iterable[Any]], doc: str, not_settings: Callable[[str], bool]
) -> list[inspect.Parameter]:
    """What of a signature is plain data. Raises LeftOut for one that needs what is none."""
    found = []
    for p in inspect.signature(function).parameters.values():
        if p.name == "self" or not_settings(p.name) or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if isinstance(p.default, str) and p.default in _GONE:
            continue
        if (setting := _setting(p, limits.get(p.name), doc)) is not None:
            found.append(setting)
    return found


def _setting(p: inspect.Parameter, limits: Iterable[Any] | None, doc: str) -> inspect.Parameter | None:
    """A parameter as a setting; None for one that has no plain values but its default, or none at all."""
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
        hints = lists[:1]  # Hydra knows no choice between a list and something else, and a list of one says the same
    hint: Any = Union[tuple(hints)]  # noqa: UP007  # from a list
    return setting(p, hint, meaning(doc, p.name))


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _hints(limit: Any, default: Any) -> list[Any]:
    """The plain data that one of scikit-learn's constraints allows: none, or one hint."""
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
    """The first sentence of what a docstring tells of a parameter."""
    told = re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(_arguments(doc).get(name, "").split())).replace("`", "")
    return textwrap.shorten(re.split(r"\.(?:\s|$)", told)[0].rstrip(",;:"), 120, placeholder=" ...")


@functools.lru_cache(8)
def _arguments(doc: str) -> dict[str, str]:
    """{name: what is told of it} of a docstring's parameters."""
    return {found[1]: found[2] for found in _ARGUMENT.finditer(inspect.cleandoc(doc) + "\n")}
