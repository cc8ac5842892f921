"""Read the classes of the collection: their settings, and the requirements of their steps."""

from __future__ import annotations

import enum
import inspect
import math
import types
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

from torch import Tensor

from harness import param_types
from harness.space import NonFinite
from harness_components.bridges.signatures import LeftOut, setting
from harness_components.bridges.torch_words import meaning

STEPS = "num_iterations"  # the collection's name for the steps of a run
MATRICES = "use_muon"  # its mark of a group of matrices
# Settings of how it computes; and maximize, because runs minimize
NOT_SETTINGS = {"self", "params", "foreach", "maximize", "fused", "capturable", "differentiable", STEPS}
NEEDS = {"model": "the model itself", "optimizer": "another optimizer to wrap", "base_optimizer": "another optimizer"}


def settings(cls: Any) -> list[inspect.Parameter]:
    """Return the parameters of a class that are plain data.

    Raises:
        LeftOut: If it needs anything else.
    """
    rows = inspect.signature(cls.__init__, eval_str=True).parameters
    if needed := [name for name, p in rows.items() if p.default is p.empty and name in NEEDS]:
        raise LeftOut(f"it needs {' and '.join(NEEDS[name] for name in needed)}")
    if "params" not in rows:
        raise LeftOut("it takes no parameters")
    converted = [_setting(p, cls.__doc__ or "") for p in rows.values() if _is_setting(p)]
    return [p for p in converted if p is not None]


def _is_setting(p: inspect.Parameter) -> bool:
    return p.name not in NOT_SETTINGS and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)


def _setting(p: inspect.Parameter, doc: str) -> inspect.Parameter | None:
    """Convert a parameter to a setting; return None if its default is not plain data and is left to the collection."""
    return setting(p, _plain(p.annotation, p.default), meaning(doc, p.name))


def _plain(hint: Any, default: Any) -> Any:
    """Convert a hint to plain data, guided by the default: the Enum behind an integer, a tuple of that length."""
    if isinstance(default, enum.Enum):
        return type(default)
    if isinstance(default, tuple) and get_origin(hint) in (Union, types.UnionType):
        return types.GenericAlias(tuple, tuple(type(item) for item in default))
    if isinstance(default, float) and not math.isfinite(default):
        return Annotated[float, NonFinite()]
    if hint is inspect.Parameter.empty:
        return type(default)
    if get_origin(hint) in (Union, types.UnionType):
        return _alternatives(hint)
    return hint


def _alternatives(hint: Any) -> Any:
    """Return the plain options of a union: `float | None` for `float | Tensor | None`."""
    plain = []
    for option in get_args(hint):
        try:
            param_types.encode(option)
        except TypeError:
            continue
        plain.append(option)
    return hint if not plain or Tensor in plain else Union[tuple(plain)]  # noqa: UP007  # from a list


def _code(method: Callable[..., Any]) -> types.CodeType:
    return inspect.unwrap(method).__code__


def closure(cls: Any) -> bool:
    """Return True if its step requires a closure."""
    return "NoClosureError" in _code(cls.step).co_names


def differentiates(cls: Any) -> bool:
    """Return True if its step differentiates the gradients."""
    return "hessian" in _code(cls.step).co_varnames


def matrices(cls: Any) -> bool:
    """Return True if it requires matrices in a group of their own."""
    return MATRICES in inspect.getsource(cls)
