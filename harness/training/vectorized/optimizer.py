"""Step the rows of a stack with torch's optimizers: one optimizer for several rows, or one for each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from harness.training.recorded.fused_optimizer import FusedOptimizer, has_kernel
from harness.training.recorded.recorded_optimizer import RecordedOptimizer
from harness.training.vectorized.bitwise import LINE
from harness.training.vectorized.stack import Weights

MakeOptimizer = Callable[[dict[str, nn.Parameter]], torch.optim.Optimizer]
Copy = tuple[Tensor, Tensor]  # target and source
Guard = Callable[[torch.optim.Optimizer, dict[str, nn.Parameter]], AbstractContextManager[None]]


class RowOptimizer:
    """Rows `start` to `stop - 1` of a stack with one optimizer.

    The optimizer's parameters, `leaves`, remain the same objects during its life, since it may refer to them by their
    identity.

    Args:
        weights: The weights of the stack.
        names: The parameters that are stepped.
        start: The first row.
        stop: The row after the last.
        shared: Step the storage of all these rows, `[rows, n]`; else a single row, with parameters of its own shapes.
        make: Make the optimizer from its parameters by name.
        schedule: Make the schedule of the optimizer.
        guard: Make a context for each step from the optimizer and its parameters, see `rowwise.py`.
        record: Make the recorder of its steps from the optimizer; None if they are never recorded.
    """

    name = ""  # of the optimizer's component

    def __init__(
        self,
        weights: Weights,
        names: Sequence[str],
        start: int,
        stop: int,
        shared: bool,
        make: MakeOptimizer,
        schedule: Callable[[torch.optim.Optimizer], Any],
        guard: Guard | None = None,
        record: Callable[[torch.optim.Optimizer], RecordedOptimizer] | None = None,
    ) -> None:
        self.names, self.start, self.stop, self.shared, self.guard = names, start, stop, shared, guard
        self._set_places(weights)
        self.leaves = {name: nn.Parameter(place) for name, place in self.places.items()}
        self.optimizer = make(self.leaves)
        self.fused = FusedOptimizer(self.optimizer) if has_kernel(self.optimizer) else None
        self.recorded = None if record is None else record(self.optimizer)
        self._write_back()
        self.schedule = schedule(self.optimizer)

    def _set_places(self, weights: Weights) -> None:
        """Set the views of the rows in the stack's memory."""
        if self.shared:
            self.places = {n: weights.storage[n][self.start : self.stop] for n in self.names}
        else:
            self.places = {n: weights.params[n].detach()[self.start] for n in self.names}

    def _moved_leaves(self) -> list[tuple[Tensor, Tensor]]:
        """Return (leaf, place) of the leaves to which the optimizer has assigned another memory."""
        pairs = ((self.leaves[name], place) for name, place in self.places.items())
        return [(leaf, place) for leaf, place in pairs if leaf.data_ptr() != place.data_ptr()]

    def _write_back(self) -> None:
        with torch.no_grad():
            for leaf, place in self._moved_leaves():
                place.copy_(leaf)

    def step(self, grads: Mapping[str, Tensor], fixed: bool = False) -> None:
        """Make one step with the gradients of the stack, `[rows, ...]`; the guard may raise NotRowwise.

        Args:
            grads: The gradients by name.
            fixed: The gradients are these very tensors in later steps, too, which overwrite their numbers.
        """
        if not (fixed and self._step_fixed(grads)):
            self._step({leaf: self._laid_out(leaf, g, fixed)[0] for leaf, g in self._of_leaves(grads)})
        self.schedule.step()

    def _step_fixed(self, grads: Mapping[str, Tensor]) -> bool:
        if self.fused is not None:
            return self.fused.step(grads, self._lay_out)
        if self.recorded is None or self._moved_leaves():
            return False
        return self.recorded.step(grads, self._lay_out, self._step)

    def _step(self, grads: Mapping[Tensor, Tensor]) -> None:
        """Make one step with the gradients of leaves, which may change their numbers."""
        with torch.no_grad():
            for leaf, place in self._moved_leaves():
                leaf.copy_(place)
        for leaf in self.leaves.values():
            leaf.grad = grads.get(leaf)
        with nullcontext() if self.guard is None else self.guard(self.optimizer, self.leaves):
            self.optimizer.step()
        self._write_back()
        for leaf in self.leaves.values():
            leaf.grad = None  # or it would be held beside the gradients of the next step

    def _of_leaves(self, grads: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        return [(leaf, grads[name]) for name, leaf in self.leaves.items() if name in grads]

    def _lay_out(self, grads: Mapping[str, Tensor]) -> tuple[dict[Tensor, Tensor], list[Copy]]:
        """Return the gradient of each leaf that has one, and the tensors that were copied."""
        laid_out = {leaf: self._laid_out(leaf, g) for leaf, g in self._of_leaves(grads)}
        copies = [copy for _, copy in laid_out.values() if copy is not None]
        return {leaf: g for leaf, (g, _) in laid_out.items()}, copies

    def _laid_out(self, leaf: Tensor, g: Tensor, copy: bool = False) -> tuple[Tensor, Copy | None]:
        """Lay out a gradient in memory as its leaf: a fused optimizer reads memory, not strides.

        Args:
            leaf: The leaf.
            g: The gradient, `[rows, ...]`.
            copy: Copy the gradient in any case.

        Returns:
            The gradient of the leaf. If it is a copy, also the pair (target, source) of tensors that were copied.
        """
        if not self.shared:
            g = g[self.start]
            if not copy and g.stride() == leaf.stride() and g.data_ptr() % LINE == 0:  # or products have other bits
                return g, None
            laid_out = target = torch.empty_like(leaf)
        else:
            g = g[self.start : self.stop]
            if not copy and g.is_contiguous() and g[0].numel() == leaf.shape[1]:
                return g.view_as(leaf), None
            laid_out = torch.zeros_like(leaf)
            target = laid_out[:, : g[0].numel()].view_as(g)
        target.copy_(g)
        return laid_out, (target, g)

    def state(self, row: int) -> dict[str, Any]:
        """Return the state of a row of the stack for a checkpoint: its own tensors, and the values that rows share."""
        if not self.shared:
            whole = copy.deepcopy(self.optimizer.state_dict())
            return {"optimizer": whole, "schedule": self.schedule.state()}
        states = {}
        for name, leaf in self.leaves.items():
            state = self.optimizer.state.get(leaf, {})
            per_row = {key for key, value in state.items() if self._is_per_row(value, leaf)}
            states[name] = {
                "own": {key: state[key][row - self.start].clone() for key in per_row},
                "common": {key: copy.deepcopy(state[key]) for key in state if key not in per_row},
            }
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        return {"states": states, "groups": copy.deepcopy(groups), "schedule": self.schedule.state()}

    def _forget_memory(self) -> None:
        for steps in (self.fused, self.recorded):
            if steps is not None:
                steps.reset()

    def restore(self, row_states: Sequence[dict[str, Any]]) -> None:
        """Continue from the states of its rows."""
        self._forget_memory()
        first = row_states[0]
        if not self.shared:
            self.optimizer.load_state_dict(copy.deepcopy(first["optimizer"]))
            self.schedule.restore(first["schedule"])
            return
        for name, leaf in self.leaves.items():
            saved = first["states"][name]
            state = {key: _to_device(value, leaf) for key, value in copy.deepcopy(saved["common"]).items()}
            for key in saved["own"]:
                state[key] = torch.stack([s["states"][name]["own"][key] for s in row_states]).to(leaf.device)
            if state:
                self.optimizer.state[leaf] = state
        for group, settings in zip(self.optimizer.param_groups, copy.deepcopy(first["groups"]), strict=True):
            group.update(settings)
        self.schedule.restore(first["schedule"])

    def _is_per_row(self, value: Any, leaf: Tensor) -> bool:
        return isinstance(value, Tensor) and value.shape == leaf.shape

    def move(self, weights: Weights, keep: Sequence[int], start: int) -> None:
        """Continue with some of the rows at another place of the stack.

        Args:
            weights: The weights of the new stack.
            keep: The rows to keep, counted from the first row of this optimizer.
            start: The first row in the new stack.
        """
        self.start, self.stop = start, start + len(keep)
        self._forget_memory()
        detached = {id(leaf) for leaf, _ in self._moved_leaves()}
        self._set_places(weights)
        rows = list(keep)
        for name, leaf in self.leaves.items():
            if self.shared and (state := self.optimizer.state.get(leaf)):
                state.update({key: value[rows] for key, value in state.items() if self._is_per_row(value, leaf)})
            if id(leaf) not in detached:
                leaf.data = self.places[name]


def _to_device(value: Any, leaf: Tensor) -> Any:
    """Move a value that rows share to the device of its parameter, unless it is a counter."""
    return value.to(leaf.device) if isinstance(value, Tensor) and value.ndim else value
