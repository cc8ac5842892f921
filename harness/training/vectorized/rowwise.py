"""Watches an optimizer that steps a stack: each operation must be element-wise, and each state lie in `state[p]`.

Under these two rules a row of the stack depends on nothing but itself, on every path that a step may take. They are
checked while steps are made, so that one that is taken late (after a warmup, every k steps) is seen when it is taken.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from harness._compat.torch import TorchDispatchMode, pytree

# Element-wise in effect, and not tagged so by torch: copies, constants of a tensor's shape, and whole steps.
_ELEMENTWISE = {
    "alias", "clone", "copy_", "detach", "empty_like", "fill_", "full_like", "lift_fresh", "ones_like", "zero_",
    "zeros_like", "_to_copy", "_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_",
}  # fmt: skip
_REDUCING = {"_foreach_norm", "_foreach_max", "_foreach_powsum"}
# What a method tells of a tensor apart from its elements: of a stack it is another than of a member.
_SHAPES = {"size", "numel", "nelement", "dim", "__len__", "stride", "nbytes", "shape", "ndim", "ndimension", "__iter__"}
_NUMBERS = {"item", "tolist", "numpy", "data_ptr", "storage", "untyped_storage", "__array__", "__dlpack__", "__bool__"}


class NotRowwise(RuntimeError):
    """A step of a stack mixes its rows, or keeps a state elsewhere than in `state[p]`; the text says how."""


class Rowwise(AbstractContextManager[None]):
    """A context for one step over `leaves` [rows, n], each with its gradient in place.

    Raises NotRowwise when the step does what might mix rows, or where it has left something behind. `strict` refuses a
    step that asks for shapes or memory, too.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, leaves: Mapping[str, nn.Parameter], strict: bool) -> None:
        self.optimizer, self.leaves = optimizer, list(leaves.values())
        self.places = [leaf.data_ptr() for leaf in self.leaves]
        self.known: dict[int, weakref.ref[Tensor]] = {}
        for tensor in [*self.leaves, *(leaf.grad for leaf in self.leaves if leaf.grad is not None), *self._states()]:
            self.know(tensor)
        self.given = set(self.known)
        self.strict = strict

    def __enter__(self) -> None:
        self._stack = ExitStack()
        self._stack.enter_context(_Operations(self))
        if self.strict:
            self._stack.enter_context(_Reads(self))

    def __exit__(self, kind: Any, *error: Any) -> None:
        self._stack.close()
        if kind is None:
            self._refuse_left_behind()

    def know(self, tensor: Tensor) -> None:
        self.known[id(tensor)] = weakref.ref(tensor)

    def knows(self, tensor: Any) -> bool:
        ref = self.known.get(id(tensor))
        return ref is not None and ref() is tensor

    def _states(self) -> list[Tensor]:
        """The row tensors of the leaves' states. Raises NotRowwise for a state of another form."""
        held = self.optimizer.state
        own = {id(leaf) for leaf in self.leaves}
        if any(id(key) not in own for key in held):
            raise NotRowwise("it keeps a state by something else than a parameter")
        found: list[Tensor] = []
        for leaf in self.leaves:
            for name, value in held.get(leaf, {}).items():
                if isinstance(value, Tensor) and value.shape == leaf.shape:
                    found.append(value)
                elif not (is_number(value) if isinstance(value, Tensor) else isinstance(value, _PLAIN)):
                    raise NotRowwise(f"its state {name!r} is not a tensor of the parameter's shape")
        if len({t.data_ptr() for t in found}) < len(found):
            raise NotRowwise("two of its states are one tensor")
        return found

    def _refuse_left_behind(self) -> None:
        if [leaf.data_ptr() for leaf in self.leaves] != self.places:
            raise NotRowwise("it gives a parameter another memory")
        kept = {id(t) for t in self._states()}
        for key, ref in self.known.items():
            if key not in self.given and key not in kept and ref() is not None:
                raise NotRowwise("it keeps a tensor outside of the state of its parameter")


_PLAIN = (int, float, str, bool, type(None))


def is_number(tensor: Tensor) -> bool:
    """Whether a tensor is one number, as a counter is."""
    return tensor.numel() == 1 and tensor.ndim <= 1


class _Operations(TorchDispatchMode):
    def __init__(self, guard: Rowwise) -> None:
        super().__init__()
        self.guard = guard

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rows = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor) and not is_number(t)]
        name = func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise NotRowwise(f"it draws ({name})")
        if rows:
            for t in rows:
                if not self.guard.knows(t):
                    raise NotRowwise(f"it computes ({name}) with a tensor that is no state of its parameter")
            if not _elementwise(name, func, args, rows):
                raise NotRowwise(f"its operation {name} is not element-wise")
        result = func(*args, **kwargs)
        if rows or name in ("zeros", "ones", "full", "empty"):
            for t in pytree.tree_leaves(result):
                if isinstance(t, Tensor) and not is_number(t):
                    self.guard.know(t)
        return result


def _elementwise(name: str, func: Any, args: Any, rows: list[Tensor]) -> bool:
    if torch.Tag.pointwise in func.tags or name in _ELEMENTWISE:
        return True
    if name.startswith("_foreach_"):
        return name not in _REDUCING
    if name in ("index_put_", "index_put"):  # a number, where a mask of the same shape is true
        target, (mask, *more), value = args[:3]
        return not more and mask.dtype == torch.bool and mask.shape == target.shape and is_number(value)
    return name in ("view", "_unsafe_view", "reshape") and tuple(args[1]) == tuple(rows[0].shape)


class _Reads(TorchFunctionMode):
    def __init__(self, guard: Rowwise) -> None:
        super().__init__()
        self.guard = guard

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__":  # of a property
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        if (name in _SHAPES or name in _NUMBERS) and any(self.guard.knows(a) for a in args):
            what = "the shape of a parameter" if name in _SHAPES else "its numbers"
            raise NotRowwise(f"it asks ({name}) for {what}")
        return func(*args, **(kwargs or {}))
