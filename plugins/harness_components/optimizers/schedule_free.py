"""Schedule-free optimizers: an average of the iterates in place of a falling learning rate."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Interval
from torch import Tensor
from torch.optim import Optimizer

import harness
from harness.space import Choice, Log
from harness_components.optimizers.base import Decoupled, Eps, OneByOne, Params, State, counted, kept


class ScheduleFree(OneByOne):
    """In training the parameters are y, where gradients are taken; in evaluation x, the average.

    The state holds z, and during evaluation y as well: computed back from x, it would be y up to rounding only.
    """

    def __init__(self, params: Params, **settings: object) -> None:
        super().__init__(params, **settings, training=True)

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """z ← z - γ · d, then x by its average, both seen through y."""
        if not group["training"]:
            raise RuntimeError("a schedule-free optimizer steps after train(), not after eval()")
        if "z" not in state:
            state["z"] = p.detach().clone()
        first, second = group["betas"]
        z, t, gamma = state["z"], counted(state), group["lr"]
        if group["base"] == "adamw":
            v = kept(state, "v", p)
            v.mul_(second).addcmul_(g, g, value=1 - second)
            direction = g / v.sqrt().add_(group["eps"])
            gamma *= math.sqrt(1 - second**t)
        else:
            direction = g
        if group["weight_decay"]:
            direction = direction.add(p, alpha=group["weight_decay"])
        state["weights"] = state.get("weights", 0.0) + gamma**2
        share = gamma**2 / state["weights"] if state["weights"] else 0.0
        # x = (y - (1 - β) z) / β stands in no memory: y's step is written without it
        p.lerp_(z, share).add_(direction, alpha=gamma * (first * (1 - share) - 1))
        z.sub_(direction, alpha=gamma)

    @torch.no_grad()
    def eval(self) -> None:
        """Puts the average in place of the parameters."""
        for group in self.param_groups:
            if group["training"]:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        self.state[p]["y"] = p.detach().clone()
                        p.lerp_(self.state[p]["z"], 1 - 1 / group["betas"][0])
            group["training"] = False

    @torch.no_grad()
    def train(self) -> None:
        """Puts the point where gradients are taken in place of the parameters."""
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
    lr: Annotated[float, Log(1e-4, 10), Gt(0), "about 0.0025 for adamw; ten to fifty times SGD's own for sgd"] = 2.5e-3,
    base: Annotated[Literal["adamw", "sgd"], Choice("adamw", "sgd")] = "adamw",
    betas: tuple[Annotated[float, Interval(gt=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]] = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decoupled = 0.0,
) -> Optimizer:
    """Takes gradients between its iterate and the iterates' average, and evaluates the average: no schedule is needed.

    y = (1 - β₁) z + β₁ x;  z ← z - γ (d(y) + weight_decay · y);  x ← (1 - c) x + c z, c = γ² / Σ γ². For sgd d = g and
    γ = lr; for adamw v ← β₂ v + (1 - β₂) g², d = g / (sqrt(v) + ε) and γ = lr · sqrt(1 - β₂ᵗ) at step t. Training is at
    y, evaluation and what is saved at x. Warmup helps, a falling schedule does not: it is what c stands for.
    """
    return ScheduleFree(params, lr=lr, base=base, betas=betas, eps=eps, weight_decay=weight_decay)
