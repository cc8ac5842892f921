"""The parameters of one run that one loss trains, with their gradients, optimizer and learning-rate schedule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.config.seeds import generator
from harness.modeling.builder import RunComponents
from harness.modeling.regularizer import having
from harness.registry.code_state import is_plugin
from harness.registry.kinds import KEY
from harness.registry.registry import REGISTRY
from harness.training.plan import Plan
from harness.training.recorded.function import LASTING
from harness.training.recorded.fused_optimizer import FusedOptimizer, has_kernel
from harness.training.recorded.recorded_optimizer import RecordedOptimizer


class GradientSum:
    """Accumulate the gradients of one step over its batches."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def add(self, grads: Mapping[str, Tensor]) -> None:
        """Add a batch's gradients by name; those of parameters that the loss does not reach are left out."""
        for name, g in grads.items():
            self.sums[name] = self.sums[name] + g if name in self.sums else g.clone()

    def take(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the step's gradients in the order of the names, and reset the sum."""
        sums, self.sums = self.sums, {}
        return {name: sums[name] for name in names if name in sums}


class Schedule:
    """Set the learning rate of each step: a linear warmup, then a scheduler.

    During a warmup of n steps, step i uses the share (i + 1) / n of the learning rate.

    Args:
        optimizer: The optimizer whose learning rates are set.
        make_scheduler: Make a torch scheduler from `optimizer` and `total_steps`, or return None.
        total_steps: Optimizer steps of the run, warmup included.
        warmup_steps: Optimizer steps of the warmup.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        make_scheduler: Callable[..., Any],
        total_steps: int,
        warmup_steps: int,
    ) -> None:
        self.optimizer, self.warmup = optimizer, warmup_steps
        self.scheduler = make_scheduler(optimizer=optimizer, total_steps=max(1, total_steps - warmup_steps))
        plateau = isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        self.monitor = "val/loss" if plateau else ""
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.steps_done = 0
        self._warm_up()

    def step(self) -> None:
        """Set the learning rate of the next step; called after each optimizer step."""
        self.steps_done += 1
        if self.steps_done < self.warmup:
            self._warm_up()
        elif self.steps_done == self.warmup:
            self._scale(1.0)
        elif self.scheduler is not None and not self.monitor:
            self.scheduler.step()

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Step a scheduler that monitors a metric, if the metric was measured and the warmup is over."""
        if self.monitor in metrics and self.steps_done >= self.warmup:
            self.scheduler.step(metrics[self.monitor])

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint; the optimizer's own state holds its learning rates."""
        return {"done": self.steps_done, "scheduler": None if self.scheduler is None else self.scheduler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.steps_done = state["done"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])

    def _warm_up(self) -> None:
        if self.steps_done < self.warmup:
            self._scale((self.steps_done + 1) / self.warmup)

    def _scale(self, share: float) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * share

    @property
    def lr(self) -> float:
        """Learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])


def recorded_optimizer(
    parts: RunComponents, plan: Plan, optimizer: torch.optim.Optimizer, refused: set[type] | None = None
) -> RecordedOptimizer:
    """Return the object that records and replays the steps of a run's optimizer."""
    function = REGISTRY.get("optimizer", str(parts.values["optimizer"][KEY]))
    steps = plan.total_steps if parts.values["recording"] == "auto" else LASTING
    return RecordedOptimizer(optimizer, function if is_plugin(function) else None, steps, refused)


class ParamGroup:
    """The parameters that one loss trains, with their optimizer and schedule.

    Args:
        name: The group's name in the task, `model` for most.
        params: The parameters by their names in the model.
        parts: The components of the run.
        plan: The plan of the run.
    """

    def __init__(self, name: str, params: dict[str, nn.Parameter], parts: RunComponents, plan: Plan) -> None:
        self.name, self.params = name, params
        self.leaves = list(params.values())
        self.strides = {name: p.stride() for name, p in params.items()}
        self.optimizer = parts.optimizer(
            params=self.leaves,
            named_params=list(params.items()),
            total_steps=max(1, plan.total_steps),
            generator=generator(plan.seed, "optimizer", name),
        )
        self.fused = FusedOptimizer(self.optimizer) if has_kernel(self.optimizer) else None
        self.recorded = recorded_optimizer(parts, plan, self.optimizer)
        self.schedule = Schedule(self.optimizer, parts.scheduler, plan.total_steps, plan.warmup_steps)
        self.after_step = [(r, r.init(dict(params))) for r in having(parts.regularizers, "after_step")]
        self.gradients = GradientSum()

    def differentiate(self, loss: Tensor, last: bool) -> dict[str, Tensor]:
        """Return the gradients of a loss by name; free its graph if `last`."""
        grads = torch.autograd.grad(loss, self.leaves, allow_unused=True, retain_graph=not last)
        return {name: g for name, g in zip(self.params, grads, strict=True) if g is not None}

    def set_gradients(self, grads: Mapping[str, Tensor]) -> None:
        """Set the `grad` of each parameter."""
        self._set_laid_out(self._lay_out(grads)[0])

    def _set_laid_out(self, grads: Mapping[Tensor, Tensor]) -> None:
        for p in self.leaves:
            p.grad = grads.get(p)

    def _lay_out(self, grads: Mapping[str, Tensor]) -> tuple[dict[Tensor, Tensor], list[tuple[Tensor, Tensor]]]:
        """Lay out gradients in memory as their parameters: a fused optimizer reads memory, not strides.

        Returns:
            The gradient of each parameter that has one, and pairs (target, source) of those that were copied.
        """
        laid_out: dict[Tensor, Tensor] = {}
        copies = []
        for name, p in self.params.items():
            if (g := grads.get(name)) is None:
                continue
            laid_out[p] = g
            if g.stride() != self.strides[name]:
                laid_out[p] = torch.empty_like(p).copy_(g)
                copies.append((laid_out[p], g))
        return laid_out, copies

    def forget_memory(self) -> None:
        """Note that the optimizer has other states, or its parameters other memory."""
        if self.fused is not None:
            self.fused.reset()
        self.recorded.reset()

    def step_with(self, grads: Mapping[str, Tensor], fixed: bool = False) -> None:
        """Make one optimizer step with gradients by name, see `step`.

        Args:
            grads: The gradients.
            fixed: The gradients are these very tensors in later steps, too, which overwrite their numbers.
        """
        self.step(functools.partial(self._step_fixed if fixed else self._step_plain, grads))

    def _step_fixed(self, grads: Mapping[str, Tensor]) -> None:
        if self.fused is not None:
            if not self.fused.step(grads, self._lay_out):
                self._step_plain(grads)
        elif not self.recorded.step(grads, self._lay_out, self._step_laid_out):
            self._step_plain({name: g.clone() for name, g in grads.items()})  # it may change their numbers

    def _step_plain(self, grads: Mapping[str, Tensor]) -> None:
        self._step_laid_out(self._lay_out(grads)[0])

    def _step_laid_out(self, grads: Mapping[Tensor, Tensor]) -> None:
        self._set_laid_out(grads)
        self.optimizer.step()

    def step(self, step: Callable[[], Any]) -> None:
        """Make one optimizer step, apply the regularizers that follow it, and step the schedule."""
        if not self.after_step:
            step()
        else:
            before = {n: p.detach().clone() for n, p in self.params.items()}
            lr = self.schedule.lr
            step()
            with torch.no_grad():
                for regularizer, state in self.after_step:
                    regularizer.after_step(dict(self.params), before, lr, state)
        for leaf in self.leaves:
            leaf.grad = None  # or it would be held beside the gradients of the next step
        self.schedule.step()
