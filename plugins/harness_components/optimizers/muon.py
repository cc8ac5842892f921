"""Muon: momentum, orthogonalized as a matrix."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor
from torch.optim import Optimizer

import harness
from harness.space import Choice, Integers, Log
from harness_components.optimizers.base import Betas, Decoupled, Eps, OneByOne, Params, State, counted, kept, moments

# Of the odd polynomial aσ + bσ³ + cσ⁵: the steepest at zero whose iterates stay near 1, where they need not converge.
A, B, C = 3.4445, -4.7750, 2.0315
TINY = 1e-7  # keeps a zero matrix zero


def orthogonalized(matrix: Tensor, steps: int) -> Tensor:
    """The matrix [n, m] with its singular values brought near 1 (about 0.7 .. 1.2 after five steps).

    In the matrix's own precision: rounded to bfloat16, which the authors use for speed on GPUs, equal runs would part.
    """
    x = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix  # the smaller of the two products
    x = x / (torch.linalg.vector_norm(x) + TINY)  # singular values <= 1
    for _ in range(steps):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x.mT if matrix.shape[0] > matrix.shape[1] else x


class Muon(OneByOne):
    """Muon for the group of matrices, AdamW for the other."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr (direction + weight_decay · w)."""
        direction = self._matrix(g, state, group) if group["matrices"] else self._other(g, state, group)
        if group["weight_decay"]:
            p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(direction, alpha=-group["lr"])

    def _matrix(self, g: Tensor, state: State, group: State) -> Tensor:
        v = kept(state, "v", g)
        v.lerp_(g, 1 - group["momentum"])
        u = torch.lerp(g, v, group["momentum"]) if group["nesterov"] else v
        rows = u.flatten(1)
        return (orthogonalized(rows, group["steps"]) * math.sqrt(max(1, rows.shape[0] / rows.shape[1]))).view(g.shape)

    def _other(self, g: Tensor, state: State, group: State) -> Tensor:
        first, second = group["betas"]
        t = counted(state)
        m, v = moments(g, state, group["betas"])
        return (m / (1 - first**t)).div_((v / (1 - second**t)).sqrt_().add_(group["eps"]))


@harness.optimizer(
    reference="Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, kellerjordan.github.io; "
    "Liu et al., Muon is scalable for LLM training, 2025, arXiv:2502.16982"
)
def muon(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1e-1), Gt(0), "of matrices: the size of a step's singular values"] = 0.02,
    momentum: Annotated[float, Choice(0.9, 0.95, 0.99), Interval(ge=0, lt=1)] = 0.95,
    nesterov: bool = True,
    steps: Annotated[int, Integers(3, 8), Interval(ge=1, le=20), "of the Newton-Schulz iteration"] = 5,
    adamw_lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "of all that is no matrix"] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decoupled = 0.0,
) -> Optimizer:
    """Steps matrices by their momentum with all singular values made alike, and the other parameters by AdamW.

    v ← momentum · v + (1 - momentum) g;  u = momentum · v + (1 - momentum) g (nesterov), else v, as a matrix [n, m]
    (kernels: out-channels by the rest), u = U S Vᵀ;  w ← w - lr (sqrt(max(1, n / m)) U Vᵀ + weight_decay · w), with
    U Vᵀ by Newton and Schulz: X₀ = u / |u|, X ← a X + (b X Xᵀ + c (X Xᵀ)²) X, which brings S near 1. Embeddings and the
    last layer are matrices here; the authors leave them to AdamW.
    """
    common = {"weight_decay": weight_decay}
    groups = [
        {"params": [p for p in params if p.ndim > 1], "matrices": True, "lr": lr, "momentum": momentum,
         "nesterov": nesterov, "steps": steps, **common},
        {"params": [p for p in params if p.ndim <= 1], "matrices": False, "lr": adamw_lr, "betas": betas, "eps": eps,
         **common},
    ]  # fmt: skip
    return Muon([group for group in groups if group["params"]], lr=lr)
