"""Torch's optimizers over a stack: one for all members of equal settings where it is element-wise, else one each."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.learner.stack import Weights

Make = Callable[[dict[str, nn.Parameter]], torch.optim.Optimizer]


class Rows:
    """Members start .. stop - 1 of a stack under one optimizer: `shared`, over their storage [members, n]; or one
    member, over parameters of its own shapes.
    """

    def __init__(
        self,
        weights: Weights,
        names: Sequence[str],
        start: int,
        stop: int,
        shared: bool,
        make: Make,
        schedule: Callable[[torch.optim.Optimizer], Any],
    ) -> None:
        self.names, self.start, self.stop, self.shared = names, start, stop, shared
        self._point(weights)
        self.optimizer = make(self.leaves)
        self.schedule = schedule(self.optimizer)

    def _point(self, weights: Weights) -> None:
        """Leaves that share the stack's memory."""
        if self.shared:
            self.leaves = {n: nn.Parameter(weights.storage[n][self.start : self.stop]) for n in self.names}
        else:
            self.leaves = {n: nn.Parameter(weights.params[n].detach()[self.start]) for n in self.names}

    def step(self, grads: Mapping[str, Tensor]) -> None:
        """One step with the stack's gradients [rows, ...]."""
        for name, leaf in self.leaves.items():
            leaf.grad = None if (g := grads.get(name)) is None else self._as(leaf, g)
        self.optimizer.step()
        for leaf in self.leaves.values():
            leaf.grad = None  # or it would be there beside those of the next step
        self.schedule.step()

    def _as(self, leaf: Tensor, g: Tensor) -> Tensor:
        """A gradient as its leaf lies in memory: a fused optimizer reads memory, not strides."""
        if not self.shared:
            g = g[self.start]
            return g if g.stride() == leaf.stride() else torch.empty_like(leaf).copy_(g)
        g = g[self.start : self.stop]
        if g.is_contiguous() and g[0].numel() == leaf.shape[1]:
            return g.view_as(leaf)
        room = torch.zeros_like(leaf)
        room[:, : g[0].numel()].view_as(g).copy_(g)
        return room

    def state(self, row: int) -> dict[str, Any]:
        """What a member (counted from the stack's first) needs to go on: its own rows, and what all share."""
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
        return self.shared and isinstance(value, Tensor) and value.shape == leaf.shape

    def move(self, weights: Weights, keep: Sequence[int], start: int) -> None:
        """Goes on with some of its members (counted from its first) at another place of a compacted stack."""
        old = self.leaves
        self.start, self.stop = start, start + len(keep)
        self._point(weights)
        state: dict[Tensor, Any] = {}
        for name, leaf in self.leaves.items():
            if (held := self.optimizer.state.pop(old[name], None)) is not None:
                rows = list(keep)
                state[leaf] = {
                    key: value[rows] if self._by_member(value, old[name]) else value for key, value in held.items()
                }
        self.optimizer.state.update(state)
        new = {id(old[name]): leaf for name, leaf in self.leaves.items()}
        for group in self.optimizer.param_groups:
            group["params"] = [new[id(p)] for p in group["params"]]


def elementwise(weights: Weights, names: Sequence[str], make: Make) -> bool:
    """Whether one optimizer over a stack's storage does to each member what one of its own would do.

    A probe, and no promise: steps three members together beside the same alone, with gradients of unlike size, an
    all-zero one and one that is not a number, and goes on with two of them. Small parameters come first: what factors
    matrices would take minutes over a row of all numbers of a layer, and is found out by them.
    """
    return all(_alike(w, names, make) for w in (weights.small(), weights))


def _alike(weights: Weights, names: Sequence[str], make: Make) -> bool:
    draw = torch.Generator().manual_seed(0)
    probe = weights.random(3, draw)
    alone = probe.kept([0, 1, 2])
    try:
        together = Rows(probe, names, 0, 3, True, make, _no_schedule)
        single = [Rows(alone, names, k, k + 1, False, make, _no_schedule) for k in range(3)]
        members = [0, 1, 2]
        for t in range(4):
            if t == 2:
                members = [0, 2]
                probe = probe.kept(members)
                together.move(probe, members, 0)
            grads = {n: _gradient(alone.params[n], t, draw) for n in names}
            together.step({n: g[members] for n, g in grads.items()})
            for k in members:
                single[k].step(grads)
        return all(
            torch.allclose(probe.params[n][i], alone.params[n][k], rtol=1e-5, atol=1e-7, equal_nan=True)
            and (k == 2 or bool(torch.isfinite(probe.params[n][i]).all()))
            for n in names
            for i, k in enumerate(members)
        )
    except KeyboardInterrupt:
        raise
    except Exception:
        return False


def _gradient(like: Tensor, t: int, draw: torch.Generator) -> Tensor:
    scale = torch.tensor([1e-3, 1.0, 1e3]).view(3, *[1] * (like.ndim - 1))
    g = (torch.randn(like.shape, generator=draw) * scale).to(like.device, like.dtype)
    if t == 1:
        g[0] = 0
    if t == 3:
        g[2] = math.nan
    return g


def _moved(value: Any, leaf: Tensor) -> Any:
    """A common part of a state, on the device of its parameter unless it is a mere counter."""
    return value.to(leaf.device) if isinstance(value, Tensor) and value.ndim else value


class _NoSchedule:
    def step(self) -> None:
        """Nothing to do."""


def _no_schedule(_: Any) -> Any:
    return _NoSchedule()
