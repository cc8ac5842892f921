"""What may differ between members that train as one stack, and how it is made a tensor with one value a member."""

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
    """Members that cannot be one stack; the message says what differs."""


class TrainSeparately(NotStackable):
    """Some members of a stack can only be trained alone. `rows` are theirs."""

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = frozenset(rows)


class RestackDifferently(NotStackable):
    """A stack was trained in a way that turned out not to be exact. From now on another way is chosen for it."""


def alike(a: Any, b: Any) -> bool:
    """Whether two values compute the same: equal data, the same code, objects of one class with alike attributes.

    >>> alike(0.1, 0.1), alike(0.1, 1), alike(lambda x: x + 1, lambda x: x + 1)
    (True, False, True)
    """
    return _alike(a, b, set())


def _alike(a: Any, b: Any, seen: set[tuple[int, int]]) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if (id(a), id(b)) in seen:
        return True
    seen.add((id(a), id(b)))
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, nn.Parameter):  # a module's list of its own weights: those of members always differ
        return a.shape == b.shape and a.dtype == b.dtype
    if isinstance(a, weakref.ref):
        return _alike(a(), b(), seen)
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, types.FunctionType):
        cells = [[c.cell_contents for c in f.__closure__ or ()] for f in (a, b)]
        return a.__code__ == b.__code__ and _alike(
            (a.__defaults__, a.__kwdefaults__, cells[0]), (b.__defaults__, b.__kwdefaults__, cells[1]), seen
        )
    if isinstance(a, functools.partial):
        return _alike((a.func, a.args, a.keywords), (b.func, b.args, b.keywords), seen)
    if isinstance(a, types.MethodType):
        return _alike((a.__func__, a.__self__), (b.__func__, b.__self__), seen)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k], seen) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_alike(x, y, seen) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__dict__"):
        return _alike(vars(a), vars(b), seen)
    return bool(a == b)


Lifted = dict[str, Tensor]  # an attribute's name, and its value for each member [K]


def lift(objects: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Lifted:
    """The float attributes of K objects of one class, one value a member: also those that are equal in all, so that
    a member computes the same whoever trains beside it. Raises NotStackable for any other difference.
    """
    first = objects[0]
    floats = [name for name, value in vars(first).items() if type(value) is float]
    for other in objects[1:]:
        if type(other) is not type(first) or vars(other).keys() != vars(first).keys():
            raise NotStackable(f"{type(first).__name__} and {type(other).__name__} differ")
        for name, value in vars(first).items():
            theirs = vars(other)[name]
            if name in floats and type(theirs) is float:
                continue
            if not alike(value, theirs):
                raise NotStackable(f"{type(first).__name__}.{name} differs")
    return {name: torch.tensor([vars(o)[name] for o in objects], dtype=dtype, device=device) for name in floats}


def bound(template: Any, lifted: dict[str, Any]) -> Any:
    """A copy of an object with these attributes in place of its own."""
    made = copy.copy(template)
    vars(made).update(lifted)
    return made


def dropouts(models: Sequence[nn.Module], dtype: torch.dtype, device: torch.device) -> Lifted:
    """{"path of a dropout module": its rates [K]} of K models. Raises NotStackable if they differ in anything else."""
    first = models[0]
    for other in models[1:]:
        _same(first, other)
    return {
        name: torch.tensor([m.get_submodule(name).p for m in models], dtype=dtype, device=device)
        for name, module in first.named_modules()
        if isinstance(module, DropoutBase)
    }


def _same(a: nn.Module, b: nn.Module) -> None:
    mine, theirs = dict(a.named_modules()), dict(b.named_modules())
    if mine.keys() != theirs.keys():
        raise NotStackable("the models have other modules")
    for name, module in mine.items():
        other = theirs[name]
        where = name or type(module).__name__
        if _class(module) is not _class(other):
            raise NotStackable(f"{where} is another module")
        for key, value in vars(module).items():
            if key in MODULE_STATE or "state_dict" in key or (key == "p" and isinstance(module, DropoutBase)):
                continue
            if not alike(value, vars(other).get(key)):
                raise NotStackable(f"{where}.{key} differs")
        if _shapes(module) != _shapes(other):
            raise NotStackable(f"the parameters of {where} differ in shape")


def _class(module: nn.Module) -> type:
    """A parametrized module is of a class of its own."""
    return type(module).__mro__[1] if is_parametrized(module) else type(module)


def _shapes(module: nn.Module) -> list[dict[str, Any]]:
    """Shapes and types of the module's own parameters and buffers, without those of its children."""
    held = (
        module.named_parameters(recurse=False, remove_duplicate=False),
        module.named_buffers(recurse=False, remove_duplicate=False),
    )
    return [{name: (tuple(t.shape), t.dtype, t.requires_grad) for name, t in tensors} for tensors in held]
