"""Schedule-free optimizers: averaged iterates in place of a decaying learning rate."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Interval
from torch import Tensor
from torch.optim import Optimizer

import harness
from harness.space import Choice, Log
from harness_components.optimizers.base import Decoupled, Eps, Params, PerParameter, State, buffer, next_step


class ScheduleFree(PerParameter):
    """Schedule-free AdamW or SGD.

    In training the parameters are y, where gradients are taken; in evaluation they are the average x. The state holds
    z, and during evaluation also y: recomputed from x it would differ by rounding.
    """

    def __init__(self, params: Params, **settings: object) -> None:
        super().__init__(params, **settings, training=True)

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """Update z along the direction d, and y, which implies the update of x."""
        if not group["training"]:
            raise RuntimeError("schedule_free is in evaluation mode: call train() before step()")
        if "z" not in state:
            state["z"] = p.detach().clone()
        first, second = group["betas"]
        z, t, gamma = state["z"], next_step(state), group["lr"]
        if group["base"] == "adamw":
            v = buffer(state, "v", p)
            v.mul_(second).addcmul_(g, g, value=1 - second)
            direction = g / v.sqrt().add_(group["eps"])
            gamma *= math.sqrt(1 - second**t)
        else:
            direction = g
        if group["weight_decay"]:
            direction = direction.add(p, alpha=group["weight_decay"])
        state["weights"] = state.get("weights", 0.0) + gamma**2
        share = gamma**2 / state["weights"] if state["weights"] else 0.0
        # x = (y - (1 - β₁) z) / β₁ is not stored: this is the update of y with x eliminated
        p.lerp_(z, share).add_(direction, alpha=gamma * (first * (1 - share) - 1))
        z.sub_(direction, alpha=gamma)

    @torch.no_grad()
    def eval(self) -> None:
        """Replace the parameters by the average x."""
        for group in self.param_groups:
            if group["training"]:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        self.state[p]["y"] = p.detach().clone()
                        p.lerp_(self.state[p]["z"], 1 - 1 / group["betas"][0])
            group["training"] = False

    @torch.no_grad()
    def train(self) -> None:
        """Replace the parameters by y, where gradients are taken."""
        for group in self.param_groups:
            if not group["training"]:
                for p in group["params"]:
                    if "y" in self.state[p]:
                        p.copy_(self.state[p].pop("y"))
            group["training"] = True


@harness.optimizer(reference="Defazio et al., The road less scheduled, NeurIPS 2024, arXiv:2405.15682, algorithm 1")
def schedule_free(
    params: Params,
    *,
    lr: Annotated[
        float, Log(1e-4, 10), Gt(0), "learning rate; about 0.0025 for adamw, 10 to 50 times that of sgd for sgd"
    ] = 2.5e-3,
    base: Annotated[Literal["adamw", "sgd"], Choice("adamw", "sgd"), "optimizer that moves z"] = "adamw",
    betas: Annotated[
        tuple[Annotated[float, Interval(gt=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]],
        "β₁: share of x in y; β₂: decay rate of the average of g² (adamw)",
    ] = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decoupled = 0.0,
) -> Optimizer:
    """Schedule-free AdamW or SGD: the average of the iterates is evaluated, so that no scheduler is needed.

    With β₁, β₂ = `betas`, ε = `eps`, λ = `weight_decay` and t the step from 1:

        y = (1 - β₁) z + β₁ x
        z ← z - γ (d + λ y)
        x ← (1 - c) x + c z,  c = γ² / Σ γ²

    For base=sgd d is the gradient g at y, and γ = lr. For base=adamw v ← β₂ v + (1 - β₂) g², d = g / (sqrt(v) + ε) and
    γ = lr · sqrt(1 - β₂ᵗ). Training uses y; evaluation and saved weights are x.

    Use it with scheduler=constant; `warmup` helps.

    The iterates y on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(schedule_free, lr=0.1)
    [1.0, 0.9, 0.8338, 0.7694]
    """
    return ScheduleFree(params, lr=lr, base=base, betas=betas, eps=eps, weight_decay=weight_decay)
