"""Step torch's fused optimizers by their kernels, on gradients that are always at the same place in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import (
    fused_adagrad_,
    fused_adam_,
    fused_adamw_,
    fused_sgd_,
    has_global_step_hooks,
    has_step_hooks,
)

FORMS = 8  # gradients at other places in memory whose steps are kept, one for each size of a batch
Group = dict[str, Any]
LayOut = Callable[[Mapping[str, Tensor]], tuple[dict[Tensor, Tensor], list[tuple[Tensor, Tensor]]]]


def has_kernel(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if a new optimizer is torch's own and makes its whole step by one kernel."""
    own = type(optimizer) in _KERNELS and "step" not in vars(optimizer)
    return own and all(group["fused"] and not group["differentiable"] for group in optimizer.param_groups)


class FusedOptimizer:
    """Makes the steps of an optimizer for which `has_kernel` was true, without torch's Python code around its kernel.

    Args:
        optimizer: The optimizer.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.reset()

    def reset(self) -> None:
        """Forget the memory of parameters and states, which has changed."""
        self._steps: dict[int, _Step] = {}  # by the identity of the gradients
        self._counts = torch.empty(0)
        self._one = torch.empty(0)

    def step(self, grads: Mapping[str, Tensor], lay_out: LayOut) -> bool:
        """Make a step if that is possible; return True if it was made.

        Args:
            grads: Gradients by name. They are the very same tensors whenever this mapping is used.
            lay_out: Return the gradient of each parameter that has one, in its memory layout, and pairs (target,
                source) of tensors to copy before each step.
        """
        if has_step_hooks(self.optimizer) or has_global_step_hooks():
            return False
        if id(grads) not in self._steps:
            if len(self._steps) == FORMS:  # of functions that were recorded anew
                self._steps = {}
            self._steps[id(grads)] = self._bind(grads, lay_out)
        step = self._steps[id(grads)]
        if step.groups is None:
            return False
        with torch.inference_mode():
            for target, source in step.copies:
                target.copy_(source)
            if len(self._counts):
                self._counts.add_(self._one)
            for group, tensors in step.groups:
                _KERNELS[type(self.optimizer)](group, tensors)
        return True

    def _bind(self, grads: Mapping[str, Tensor], lay_out: LayOut) -> _Step:
        laid_out, copies = lay_out(grads)
        stateful = {
            p for g in self.optimizer.param_groups if g.get("momentum", 1) for p in g["params"] if p in laid_out
        }
        if stateful != self.optimizer.state.keys():  # a parameter has not been stepped, or is not stepped now
            return _Step(grads, copies, None)
        if not len(self._counts):
            self._join_counts()
        groups = []
        for group in self.optimizer.param_groups:
            if params := [p for p in group["params"] if p in laid_out]:
                tensors = [[p.detach() for p in params], [laid_out[p] for p in params]]
                groups.append((group, tensors + self._states(group, params)))
        return _Step(grads, copies, groups)

    def _join_counts(self) -> None:
        """Make the step counts views of one tensor, so that a single operation increments them."""
        states = [state for state in self.optimizer.state.values() if "step" in state]
        if states:
            self._counts = torch.stack([state["step"] for state in states])
            self._one = torch.ones_like(self._counts)
            for state, count in zip(states, self._counts.unbind(), strict=True):
                state["step"] = count

    def _states(self, group: Group, params: Sequence[Tensor]) -> list[list[Tensor]]:
        states = [self.optimizer.state[p] for p in params]
        if type(self.optimizer) is torch.optim.SGD:
            return [[state["momentum_buffer"] for state in states] if group["momentum"] else []]
        counts = [state["step"] for state in states]
        if type(self.optimizer) is torch.optim.Adagrad:
            return [[state["sum"] for state in states], counts]
        most = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []
        averages = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")]
        return [*averages, most, counts]


@dataclass(frozen=True)
class _Step:
    """A step with gradients at fixed places; `groups` is None if the kernel cannot make it."""

    grads: Mapping[str, Tensor]
    copies: Sequence[tuple[Tensor, Tensor]]
    groups: list[tuple[Group, list[list[Tensor]]]] | None


def _step_adam(group: Group, tensors: list[list[Tensor]]) -> None:
    kernel = fused_adamw_ if group["decoupled_weight_decay"] else fused_adam_
    settings = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
    kernel(*tensors, beta1=group["betas"][0], beta2=group["betas"][1], **settings)


def _step_sgd(group: Group, tensors: list[list[Tensor]]) -> None:
    names = ("lr", "weight_decay", "momentum", "dampening", "nesterov", "maximize")
    fused_sgd_(*tensors, is_first_step=False, **{name: group[name] for name in names})


def _step_adagrad(group: Group, tensors: list[list[Tensor]]) -> None:
    names = ("lr", "lr_decay", "weight_decay", "eps", "maximize")
    fused_adagrad_(*tensors, **{name: group[name] for name in names})


_KERNELS = {
    torch.optim.Adagrad: _step_adagrad,
    torch.optim.Adam: _step_adam,
    torch.optim.AdamW: _step_adam,
    torch.optim.SGD: _step_sgd,
}
