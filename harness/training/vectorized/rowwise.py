"""Check that an optimizer steps each row of a stack independently of the others.

Two rules ensure it: each operation is element-wise, and each state is in `state[p]`. They are checked during the steps
themselves, so that an operation that comes late (after a warmup, every k steps) is checked when it comes.
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

# Element-wise operations that torch does not tag as such: copies, constants of a tensor's shape, and fused steps.
_ELEMENTWISE = {
    "alias", "clone", "copy_", "detach", "empty_like", "fill_", "full_like", "lift_fresh", "ones_like", "zero_",
    "zeros_like", "_to_copy", "_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_",
}  # fmt: skip
_REDUCING = {"_foreach_norm", "_foreach_max", "_foreach_powsum"}
# Methods whose result differs between a stack and a single row: of the shape, and of the elements or the memory.
_SHAPES = {"size", "numel", "nelement", "dim", "__len__", "stride", "nbytes", "shape", "ndim", "ndimension", "__iter__"}
_NUMBERS = {"item", "tolist", "numpy", "data_ptr", "storage", "untyped_storage", "__array__", "__dlpack__", "__bool__"}


class NotRowwise(RuntimeError):
    """A step of a stack mixes its rows, or keeps a state outside of `state[p]`; the message says how."""


class Rowwise(AbstractContextManager[None]):
    """Context for one step, which raises NotRowwise if the step may mix rows or keeps a tensor elsewhere.

    Args:
        optimizer: The optimizer that makes the step.
        leaves: Its parameters by name, `[rows, n]`, with their gradients set.
        strict: Refuse a step that reads shapes, numbers or memory, too.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, leaves: Mapping[str, nn.Parameter], strict: bool) -> None:
        self.optimizer, self.leaves = optimizer, list(leaves.values())
        self.places = [leaf.data_ptr() for leaf in self.leaves]
        self.known: dict[int, weakref.ref[Tensor]] = {}
        for tensor in [*self.leaves, *(leaf.grad for leaf in self.leaves if leaf.grad is not None), *self._states()]:
            self.add(tensor)
        self.before = set(self.known)
        self.strict = strict

    def __enter__(self) -> None:
        self._stack = ExitStack()
        self._stack.enter_context(_Operations(self))
        if self.strict:
            self._stack.enter_context(_Reads(self))

    def __exit__(self, kind: Any, *error: Any) -> None:
        self._stack.close()
        if kind is None:
            self._refuse_remains()

    def add(self, tensor: Tensor) -> None:
        """Add a tensor to those whose rows are the rows of the stack."""
        self.known[id(tensor)] = weakref.ref(tensor)

    def __contains__(self, tensor: Any) -> bool:
        ref = self.known.get(id(tensor))
        return ref is not None and ref() is tensor

    def _states(self) -> list[Tensor]:
        """Return the states of the parameters' shapes; raise NotRowwise for a state of another form."""
        states = self.optimizer.state
        leaf_ids = {id(leaf) for leaf in self.leaves}
        if any(id(key) not in leaf_ids for key in states):
            raise NotRowwise("it keeps a state by something else than a parameter")
        tensors: list[Tensor] = []
        for leaf in self.leaves:
            for name, value in states.get(leaf, {}).items():
                if isinstance(value, Tensor) and value.shape == leaf.shape:
                    tensors.append(value)
                elif not (is_number(value) if isinstance(value, Tensor) else isinstance(value, _PLAIN)):
                    raise NotRowwise(f"its state {name!r} is not a tensor of the parameter's shape")
        if len({t.data_ptr() for t in tensors}) < len(tensors):
            raise NotRowwise("two of its states are one tensor")
        return tensors

    def _refuse_remains(self) -> None:
        """Raise NotRowwise if the step moved a parameter, or a tensor that it made outlives it outside of a state."""
        if [leaf.data_ptr() for leaf in self.leaves] != self.places:
            raise NotRowwise("it gives a parameter another memory")
        states = {id(t) for t in self._states()}
        for key, ref in self.known.items():
            if key not in self.before and key not in states and ref() is not None:
                raise NotRowwise("it keeps a tensor outside of the state of its parameter")


_PLAIN = (int, float, str, bool, type(None))


def is_number(tensor: Tensor) -> bool:
    """Return True if a tensor is a single number, as a counter is."""
    return tensor.numel() == 1 and tensor.ndim <= 1


class _Operations(TorchDispatchMode):
    """Refuse operations that are not element-wise."""

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
                if t not in self.guard:
                    raise NotRowwise(f"it computes ({name}) with a tensor that is no state of its parameter")
            if not _elementwise(name, func, args, rows):
                raise NotRowwise(f"its operation {name} is not element-wise")
        result = func(*args, **kwargs)
        if rows or name in ("zeros", "ones", "full", "empty"):
            for t in pytree.tree_leaves(result):
                if isinstance(t, Tensor) and not is_number(t):
                    self.guard.add(t)
        return result


def _elementwise(name: str, func: Any, args: Any, rows: list[Tensor]) -> bool:
    if torch.Tag.pointwise in func.tags or name in _ELEMENTWISE:
        return True
    if name.startswith("_foreach_"):
        return name not in _REDUCING
    if name in ("index_put_", "index_put"):  # assigns a number where a mask of the same shape is true
        target, (mask, *more), value = args[:3]
        return not more and mask.dtype == torch.bool and mask.shape == target.shape and is_number(value)
    return name in ("view", "_unsafe_view", "reshape") and tuple(args[1]) == tuple(rows[0].shape)


class _Reads(TorchFunctionMode):
    """Refuse reading the shape or the numbers of a parameter, a gradient or a state."""

    def __init__(self, guard: Rowwise) -> None:
        super().__init__()
        self.guard = guard

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__":  # of a property
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        if (name in _SHAPES or name in _NUMBERS) and any(a in self.guard for a in args):
            subject = "the shape of a parameter" if name in _SHAPES else "its numbers"
            raise NotRowwise(f"it asks ({name}) for {subject}")
        return func(*args, **(kwargs or {}))
