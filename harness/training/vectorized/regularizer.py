"""The hooks of the members' regularizers, over a stack: under vmap where they allow it, else member by member."""

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
from harness.training.vectorized.lifting import Lifted, NotStackable, bound, lift

COMPUTING = ("target", "penalty", "gradient", "after_step", "evaluate")


class StackedRegularizer:
    """K regularizers of one class as one. Their float attributes are tensors under vmap, one value a member.

    Whether vmap takes a hook is found out at its first call, and does not depend on who trains beside a member.
    """

    def __init__(self, members: Sequence[Regularizer], spare: int, dtype: torch.dtype, device: torch.device) -> None:
        self.members = [*members, *[members[0]] * spare]
        self.hooks = [hook for hook in COMPUTING if does(members[0], hook)]
        self.lifted: Lifted = lift(self.members, dtype, device) if self.hooks else {}
        self.together: set[str] = set()  # hooks that vmap has taken
        self.one_by_one: set[str] = set()  # and those that it has not

    def keep(self, index: list[int]) -> None:
        """Goes on with these rows."""
        self.members = [self.members[row] for row in index]
        self.lifted = {name: values[index] for name, values in self.lifted.items()}

    def call(self, hook: str, *args: Any) -> Any:
        """The hook of every member on its rows of `args` (trees of tensors [rows, ...]), stacked."""
        if hook not in self.one_by_one:
            # a hook that changes its arguments in place may have begun to when vmap refuses it: that is taken back
            given = [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]
            kept = [t.detach().clone() for t in given] if hook == "after_step" and hook not in self.together else []
            try:
                with self._guarded():
                    found = self._together(hook, args)
            except Exception as error:
                reraise_interrupt(error)
                self.one_by_one.add(hook)
                with torch.no_grad():
                    for t, before in zip(given, kept, strict=False):
                        t.copy_(before)
            else:
                self.together.add(hook)
                return found
        with self._guarded():
            return self._apart(hook, args)

    def _guarded(self) -> AbstractContextManager[None]:
        """Inside, what a plugin's regularizer changes in the process is put back before others compute."""
        kind = type(self.members[0])
        return kept(by=f"regularizer {kind.__name__}") if is_plugin(kind) else nullcontext()

    def _together(self, hook: str, args: tuple[Any, ...]) -> Any:
        template = self.members[0]

        def one(lifted: Lifted, tensors: list[Tensor]) -> Any:
            given = pytree.tree_unflatten(_filled(leaves, tensors), tree)
            found = getattr(bound(template, lifted), hook)(*(_made(arg) for arg in given))
            return torch.zeros(()) if found is None else found  # vmap takes no function that returns nothing

        leaves, tree = pytree.tree_flatten(args)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        return vmap(one, randomness="error")(self.lifted, tensors)

    def _apart(self, hook: str, args: tuple[Any, ...]) -> Any:
        leaves, tree = pytree.tree_flatten(args)
        found = []
        for row, member in enumerate(self.members):
            tensors = [leaf[row] for leaf in leaves if isinstance(leaf, Tensor)]
            given = pytree.tree_unflatten(_filled(leaves, tensors), tree)
            found.append(getattr(member, hook)(*(_made(arg) for arg in given)))
        return stack_trees(found)


class DeferredArg:
    """An argument that is made from a member's tensor, inside vmap."""

    def __init__(self, make: Callable[[Tensor], Any], tensor: Tensor) -> None:
        self.make, self.tensor = make, tensor


pytree.register_pytree_node(
    DeferredArg, lambda later: ([later.tensor], later.make), lambda t, make: DeferredArg(make, *t)
)


def _made(arg: Any) -> Any:
    return arg.make(arg.tensor) if isinstance(arg, DeferredArg) else arg


def _filled(leaves: list[Any], tensors: list[Tensor]) -> list[Any]:
    """The leaves with these tensors in the places of theirs."""
    given = iter(tensors)
    return [next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def stack_trees(trees: Sequence[Any]) -> Any:
    """Trees of one form as one, their tensors stacked. Raises NotStackable if anything else in them differs."""
    flat = [pytree.tree_flatten(tree) for tree in trees]
    form = flat[0][1]
    if any(other != form for _, other in flat[1:]):
        raise NotStackable("the states of regularizers have other forms")
    stacked = []
    for leaves in zip(*(leaves for leaves, _ in flat), strict=True):
        if isinstance(leaves[0], Tensor):
            stacked.append(torch.stack(leaves))
        elif all(leaf == leaves[0] for leaf in leaves[1:]):
            stacked.append(leaves[0])
        else:
            raise NotStackable("the states of regularizers differ in what is no tensor")
    return pytree.tree_unflatten(stacked, form)
