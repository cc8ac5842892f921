"""signSGD with momentum, written from the paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Signum(torch.optim.Optimizer):
    """θ ← θ - lr · sign(m), with m the running mean of the gradients."""

    def __init__(self, params: Any, lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step on the gradients that the parameters hold."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                state["mean"].lerp_(p.grad, 1 - group["momentum"])
                p.sub_(state["mean"].sign(), alpha=group["lr"])
