"""Call the hooks of regularizers over a stack: under vmap if they allow it, else row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from harness._compat.torch import pytree
from harness.modeling.regularizer import Regularizer, does
from harness.registry.code_state import is_plugin
from harness.system.errors import reraise_interrupt
from harness.system.process_state import kept
from harness.training.vectorized.lifting import Lifted, NotStackable, lift_attributes, with_attributes

HOOKS = ("target", "penalty", "gradient", "after_step", "evaluate")


class StackedRegularizer:
    """The regularizers of K rows, of one class.

    Under vmap their float attributes are tensors with one value for each row. The first call of a hook decides whether
    vmap supports it, which does not depend on the other runs of the stack.

    Args:
        members: The regularizer of each run.
        padding: Padding rows; they have the regularizer of the first run.
        dtype: The precision of the float attributes.
        device: The device of the stack.

    Raises:
        NotStackable: If the regularizers differ in anything but their float attributes.
    """

    def __init__(self, members: Sequence[Regularizer], padding: int, dtype: torch.dtype, device: torch.device) -> None:
        self.members = [*members, *[members[0]] * padding]
        self.hooks = [hook for hook in HOOKS if does(members[0], hook)]
        self.lifted: Lifted = lift_attributes(self.members, dtype, device) if self.hooks else {}
        self.vectorized: set[str] = set()  # hooks that vmap supports
        self.row_by_row: set[str] = set()  # hooks that it does not

    def keep(self, index: list[int]) -> None:
        """Continue with these rows only."""
        self.members = [self.members[row] for row in index]
        self.lifted = {name: values[index] for name, values in self.lifted.items()}

    def call(self, hook: str, *args: Any) -> Any:
        """Call a hook of every row.

        Args:
            hook: The hook's name.
            *args: Its arguments: trees of tensors `[rows, ...]`.

        Returns:
            The results, stacked.
        """
        if hook not in self.row_by_row:
            # a hook may have changed its arguments in place before vmap refuses it: the changes are undone
            tensors = [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]
            undo = hook == "after_step" and hook not in self.vectorized
            copies = [t.detach().clone() for t in tensors] if undo else []
            try:
                with self._isolated():
                    result = self._call_vectorized(hook, args)
            except Exception as error:
                reraise_interrupt(error)
                self.row_by_row.add(hook)
                with torch.no_grad():
                    for t, before in zip(tensors, copies, strict=False):
                        t.copy_(before)
            else:
                self.vectorized.add(hook)
                return result
        with self._isolated():
            return self._call_row_by_row(hook, args)

    def _isolated(self) -> AbstractContextManager[None]:
        """Context that restores the process state that a plugin's regularizer changes."""
        cls = type(self.members[0])
        return kept(by=f"regularizer {cls.__name__}") if is_plugin(cls) else nullcontext()

    def _call_vectorized(self, hook: str, args: tuple[Any, ...]) -> Any:
        template = self.members[0]

        def call_row(lifted: Lifted, tensors: list[Tensor]) -> Any:
            row_args = pytree.tree_unflatten(_with_tensors(leaves, tensors), tree)
            result = getattr(with_attributes(template, lifted), hook)(*(_resolve(arg) for arg in row_args))
            return torch.zeros(()) if result is None else result  # vmap requires a result

        leaves, tree = pytree.tree_flatten(args)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        return vmap(call_row, randomness="error")(self.lifted, tensors)

    def _call_row_by_row(self, hook: str, args: tuple[Any, ...]) -> Any:
        leaves, tree = pytree.tree_flatten(args)
        results = []
        for row, member in enumerate(self.members):
            tensors = [leaf[row] for leaf in leaves if isinstance(leaf, Tensor)]
            row_args = pytree.tree_unflatten(_with_tensors(leaves, tensors), tree)
            results.append(getattr(member, hook)(*(_resolve(arg) for arg in row_args)))
        return stack_trees(results)


class DeferredArg:
    """An argument that is made from a row's tensor, inside vmap."""

    def __init__(self, make: Callable[[Tensor], Any], tensor: Tensor) -> None:
        self.make, self.tensor = make, tensor


pytree.register_pytree_node(
    DeferredArg,
    lambda deferred: ([deferred.tensor], deferred.make),
    lambda tensors, make: DeferredArg(make, *tensors),
)


def _resolve(arg: Any) -> Any:
    return arg.make(arg.tensor) if isinstance(arg, DeferredArg) else arg


def _with_tensors(leaves: list[Any], tensors: list[Tensor]) -> list[Any]:
    """Return the leaves with these tensors in place of their own."""
    remaining = iter(tensors)
    return [next(remaining) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def stack_trees(trees: Sequence[Any]) -> Any:
    """Stack the tensors of trees of one structure.

    Raises:
        NotStackable: If the trees differ in structure, or in a leaf that is no tensor.
    """
    flat = [pytree.tree_flatten(tree) for tree in trees]
    structure = flat[0][1]
    if any(other != structure for _, other in flat[1:]):
        raise NotStackable("the states of regularizers have other forms")
    stacked = []
    for leaves in zip(*(leaves for leaves, _ in flat), strict=True):
        if isinstance(leaves[0], Tensor):
            stacked.append(torch.stack(leaves))
        elif all(leaf == leaves[0] for leaf in leaves[1:]):
            stacked.append(leaves[0])
        else:
            raise NotStackable("the states of regularizers differ in what is no tensor")
    return pytree.tree_unflatten(stacked, structure)
