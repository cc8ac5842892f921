"""Lift the attributes in which stacked runs may differ to tensors with one value for each run."""

from __future__ import annotations

import copy
import functools
import math
import types
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from harness._compat.torch import MODULE_STATE, DropoutBase


class NotStackable(Exception):
    """Runs cannot be trained as one stack; the message says what differs."""


class TrainSeparately(NotStackable):
    """Some runs of a stack can only be trained by themselves.

    Attributes:
        rows: The rows of these runs.
    """

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = frozenset(rows)


class RestackDifferently(NotStackable):
    """A stack was trained in a way that proved not to be exact. Building it again chooses another way."""


def is_equivalent(a: Any, b: Any) -> bool:
    """Return True if two values compute the same: equal data, the same code, or equivalent objects of one class.

    >>> def shift(n):
    ...     return lambda x: x + n
    >>> is_equivalent(0.1, 0.1), is_equivalent(0.1, 1)
    (True, False)
    >>> is_equivalent(shift(1), shift(1)), is_equivalent(shift(1), shift(2))
    (True, False)
    """
    return _is_equivalent(a, b, set())


def _is_equivalent(a: Any, b: Any, seen: set[tuple[int, int]]) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if (id(a), id(b)) in seen:
        return True
    seen.add((id(a), id(b)))
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, nn.Parameter):  # in a module's list of its own weights, whose values always differ
        return a.shape == b.shape and a.dtype == b.dtype
    if isinstance(a, weakref.ref):
        return _is_equivalent(a(), b(), seen)
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, types.FunctionType):
        cells = [[c.cell_contents for c in f.__closure__ or ()] for f in (a, b)]
        return a.__code__ == b.__code__ and _is_equivalent(
            (a.__defaults__, a.__kwdefaults__, cells[0]), (b.__defaults__, b.__kwdefaults__, cells[1]), seen
        )
    if isinstance(a, functools.partial):
        return _is_equivalent((a.func, a.args, a.keywords), (b.func, b.args, b.keywords), seen)
    if isinstance(a, types.MethodType):
        return _is_equivalent((a.__func__, a.__self__), (b.__func__, b.__self__), seen)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_is_equivalent(a[k], b[k], seen) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_is_equivalent(x, y, seen) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__dict__"):
        return _is_equivalent(vars(a), vars(b), seen)
    return bool(a == b)


Lifted = dict[str, Tensor]  # the name of an attribute: its value in each run, [K]


def lift_attributes(objects: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Lifted:
    """Lift the float attributes of K objects of one class to tensors `[K]`.

    Attributes that are equal in all objects are lifted too, so that a run computes the same in any stack.

    Raises:
        NotStackable: If the objects differ in anything but their float attributes.
    """
    first = objects[0]
    floats = [name for name, value in vars(first).items() if type(value) is float]
    for other in objects[1:]:
        if type(other) is not type(first) or vars(other).keys() != vars(first).keys():
            raise NotStackable(f"{type(first).__name__} and {type(other).__name__} differ")
        for name, value in vars(first).items():
            other_value = vars(other)[name]
            if name in floats and type(other_value) is float:
                continue
            if not is_equivalent(value, other_value):
                raise NotStackable(f"{type(first).__name__}.{name} differs")
    return {name: torch.tensor([vars(o)[name] for o in objects], dtype=dtype, device=device) for name in floats}


def with_attributes(template: Any, lifted: dict[str, Any]) -> Any:
    """Return a copy of an object with these values of its attributes."""
    result = copy.copy(template)
    vars(result).update(lifted)
    return result


def lift_dropout_rates(models: Sequence[nn.Module], dtype: torch.dtype, device: torch.device) -> Lifted:
    """Lift the dropout rates of K models to tensors `[K]`, by the names of the dropout modules.

    Raises:
        NotStackable: If the models differ in anything but weights and dropout rates.
    """
    first = models[0]
    compared = _compared(first)
    for other in models[1:]:
        _refuse_differences(compared, other)
    return {
        name: torch.tensor([m.get_submodule(name).p for m in models], dtype=dtype, device=device)
        for name, module in first.named_modules()
        if isinstance(module, DropoutBase)
    }


_Compared = dict[str, tuple[type, dict[str, Any], list[dict[str, Any]]]]  # class, attributes and shapes by module


def _compared(model: nn.Module) -> _Compared:
    """Return what the modules of another model must have in common with those of a model, by their names."""
    compared = {}
    for name, module in model.named_modules():
        left_out = {"p"} if isinstance(module, DropoutBase) else set()
        attributes = {
            key: value
            for key, value in vars(module).items()
            if not (key in MODULE_STATE or key in left_out or "state_dict" in key)
        }
        compared[name] = _class(module), attributes, _shapes(module)
    return compared


def _refuse_differences(compared: _Compared, model: nn.Module) -> None:
    others = dict(model.named_modules())
    if compared.keys() != others.keys():
        raise NotStackable("the models have other modules")
    for name, (expected, attributes, shapes) in compared.items():
        other = others[name]
        where = name or expected.__name__
        if _class(other) is not expected:
            raise NotStackable(f"{where} is another module")
        for key, value in attributes.items():
            if not is_equivalent(value, vars(other).get(key)):
                raise NotStackable(f"{where}.{key} differs")
        if _shapes(other) != shapes:
            raise NotStackable(f"the parameters of {where} differ in shape")


def _class(module: nn.Module) -> type:
    """Return the class of a module before torch parametrized it."""
    return type(module).__mro__[1] if is_parametrized(module) else type(module)


def _shapes(module: nn.Module) -> list[dict[str, Any]]:
    """Return shapes and dtypes of the module's own parameters and buffers, without those of its children."""
    own = (
        module.named_parameters(recurse=False, remove_duplicate=False),
        module.named_buffers(recurse=False, remove_duplicate=False),
    )
    return [{name: (tuple(t.shape), t.dtype, t.requires_grad) for name, t in tensors} for tensors in own]
