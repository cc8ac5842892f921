"""The learning rate over the steps: a linear warmup, then the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


class Schedule:
    """Steps once an optimizer step. During warmup, step i of n uses the share (i + 1) / n of the learning rate."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, make: Callable[..., Any], total_steps: int, warmup_steps: int
    ) -> None:
        self.optimizer, self.warmup = optimizer, warmup_steps
        self.scheduler = make(optimizer=optimizer, total_steps=max(1, total_steps - warmup_steps))
        plateau = isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        self.watches = "val/loss" if plateau else ""
        self.start = [group["lr"] for group in optimizer.param_groups]
        self.done = 0
        self._warm()

    def step(self) -> None:
        """After an optimizer step: sets the learning rate of the next."""
        self.done += 1
        if self.done < self.warmup:
            self._warm()
        elif self.done == self.warmup:
            self._set(1.0)
        elif self.scheduler is not None and not self.watches:
            self.scheduler.step()

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """After an epoch: a scheduler that watches a metric is told it, where it was measured."""
        if self.watches in metrics and self.done >= self.warmup:
            self.scheduler.step(metrics[self.watches])

    def state(self) -> dict[str, Any]:
        """What going on needs, beside the optimizer's own learning rates."""
        return {"done": self.done, "scheduler": None if self.scheduler is None else self.scheduler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self.done = state["done"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])

    def _warm(self) -> None:
        if self.done < self.warmup:
            self._set((self.done + 1) / self.warmup)

    def _set(self, share: float) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.start, strict=True):
            group["lr"] = lr * share

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])
