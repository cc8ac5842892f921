"""Torch's optimizers over a stack: one for all members of equal settings where it may be shared, else one each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from harness.training.vectorized.bitwise import LINE
from harness.training.vectorized.stack import Weights

Make = Callable[[dict[str, nn.Parameter]], torch.optim.Optimizer]
Watch = Callable[[torch.optim.Optimizer, dict[str, nn.Parameter]], AbstractContextManager[None]]


class RowOptimizer:
    """Members start .. stop - 1 of a stack under one optimizer: `shared`, over their storage [members, n]; or one
    member, over parameters of its own shapes.

    The leaves are the same objects for as long as their optimizer lives: it may know them by their identity.
    `watch` makes a context for each step from the optimizer and its leaves (rowwise.py).
    """

    name = ""  # of the optimizer, where one is given

    def __init__(
        self,
        weights: Weights,
        names: Sequence[str],
        start: int,
        stop: int,
        shared: bool,
        make: Make,
        schedule: Callable[[torch.optim.Optimizer], Any],
        watch: Watch | None = None,
    ) -> None:
        self.names, self.start, self.stop, self.shared, self.watch = names, start, stop, shared, watch
        self._point(weights)
        self.leaves = {name: nn.Parameter(place) for name, place in self.places.items()}
        self.optimizer = make(self.leaves)
        self._write()
        self.schedule = schedule(self.optimizer)

    def _point(self, weights: Weights) -> None:
        """The members' places in the stack's memory."""
        if self.shared:
            self.places = {n: weights.storage[n][self.start : self.stop] for n in self.names}
        else:
            self.places = {n: weights.params[n].detach()[self.start] for n in self.names}

    def _moved_leaves(self) -> list[tuple[Tensor, Tensor]]:
        """(leaf, place) of leaves to which the optimizer has given a memory of their own."""
        pairs = ((self.leaves[name], place) for name, place in self.places.items())
        return [(leaf, place) for leaf, place in pairs if leaf.data_ptr() != place.data_ptr()]

    def _write(self) -> None:
        with torch.no_grad():
            for leaf, place in self._moved_leaves():
                place.copy_(leaf)

    def step(self, grads: Mapping[str, Tensor]) -> None:
        """One step with the stack's gradients [rows, ...]. Raises what `watch` does."""
        with torch.no_grad():
            for leaf, place in self._moved_leaves():
                leaf.copy_(place)
        for name, leaf in self.leaves.items():
            leaf.grad = None if (g := grads.get(name)) is None else self._as(leaf, g)
        with nullcontext() if self.watch is None else self.watch(self.optimizer, self.leaves):
            self.optimizer.step()
        self._write()
        for leaf in self.leaves.values():
            leaf.grad = None  # or it would be there beside those of the next step
        self.schedule.step()

    def _as(self, leaf: Tensor, g: Tensor) -> Tensor:
        """A gradient as its leaf lies in memory: a fused optimizer reads memory, not strides."""
        if not self.shared:
            g = g[self.start]
            laid = g.stride() == leaf.stride() and g.data_ptr() % LINE == 0  # or products have other bits
            return g if laid else torch.empty_like(leaf).copy_(g)
        g = g[self.start : self.stop]
        if g.is_contiguous() and g[0].numel() == leaf.shape[1]:
            return g.view_as(leaf)
        room = torch.zeros_like(leaf)
        room[:, : g[0].numel()].view_as(g).copy_(g)
        return room

    def state(self, row: int) -> dict[str, Any]:
        """What a member (counted from the stack's first) needs to go on: its own rows, and what all share."""
        if not self.shared:
            whole = copy.deepcopy(self.optimizer.state_dict())
            return {"optimizer": whole, "schedule": self.schedule.state()}
        states = {}
        for name, leaf in self.leaves.items():
            held = self.optimizer.state.get(leaf, {})
            own = {key for key, value in held.items() if self._by_member(value, leaf)}
            states[name] = {
                "own": {key: held[key][row - self.start].clone() for key in own},
                "common": {key: copy.deepcopy(held[key]) for key in held if key not in own},
            }
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        return {"states": states, "groups": copy.deepcopy(groups), "schedule": self.schedule.state()}

    def restore(self, members: Sequence[dict[str, Any]]) -> None:
        """Goes on from the states of its members."""
        first = members[0]
        if not self.shared:
            self.optimizer.load_state_dict(copy.deepcopy(first["optimizer"]))
            self.schedule.restore(first["schedule"])
            return
        for name, leaf in self.leaves.items():
            kept = first["states"][name]
            state = {key: _moved(value, leaf) for key, value in copy.deepcopy(kept["common"]).items()}
            for key in kept["own"]:
                state[key] = torch.stack([m["states"][name]["own"][key] for m in members]).to(leaf.device)
            if state:
                self.optimizer.state[leaf] = state
        for group, settings in zip(self.optimizer.param_groups, copy.deepcopy(first["groups"]), strict=True):
            group.update(settings)
        self.schedule.restore(first["schedule"])

    def _by_member(self, value: Any, leaf: Tensor) -> bool:
        return isinstance(value, Tensor) and value.shape == leaf.shape

    def move(self, weights: Weights, keep: Sequence[int], start: int) -> None:
        """Goes on with some of its members (counted from its first) at another place of a compacted stack."""
        self.start, self.stop = start, start + len(keep)
        detached = {id(leaf) for leaf, _ in self._moved_leaves()}
        self._point(weights)
        rows = list(keep)
        for name, leaf in self.leaves.items():
            if self.shared and (held := self.optimizer.state.get(leaf)):
                held.update({key: value[rows] for key, value in held.items() if self._by_member(value, leaf)})
            if id(leaf) not in detached:
                leaf.data = self.places[name]


def _moved(value: Any, leaf: Tensor) -> Any:
    """A common part of a state, on the device of its parameter unless it is a mere counter."""
    return value.to(leaf.device) if isinstance(value, Tensor) and value.ndim else value
