"""Muon: momentum orthogonalized as a matrix."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor
from torch.optim import Optimizer

import harness
from harness.space import Choice, Integers, Log
from harness_components.optimizers.base import (
    Betas,
    Decoupled,
    Eps,
    Params,
    PerParameter,
    State,
    buffer,
    next_step,
    update_moments,
)

# Coefficients of aσ + bσ³ + cσ⁵: as steep as possible at 0, with iterates that stay near 1 without converging to it
A, B, C = 3.4445, -4.7750, 2.0315
TINY = 1e-7  # keeps a zero matrix zero


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Bring the singular values of a matrix near 1 by Newton-Schulz iterations.

    Computed in the matrix's own precision: the authors round to bfloat16 for speed on GPUs, after which equal runs
    would differ.

    Args:
        matrix: shape `[n, m]`.
        steps: number of iterations; after five the singular values are about 0.7 to 1.2.

    Returns:
        Matrix of the same shape and singular vectors.
    """
    x = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix  # x @ x.mT is the smaller product
    x = x / (torch.linalg.vector_norm(x) + TINY)  # singular values <= 1
    for _ in range(steps):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x.mT if matrix.shape[0] > matrix.shape[1] else x


class Muon(PerParameter):
    """Muon for the group of matrices, AdamW for the other group."""

    def numbers(self, state: State, group: State) -> dict[str, float]:
        """Return the corrections of AdamW's averages."""
        if group["matrices"]:
            return {}
        t, (first, second) = next_step(state), group["betas"]
        return {"m": 1 - first**t, "v": 1 - second**t}

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr (direction + weight_decay · w)."""
        direction = self._muon(g, state, group) if group["matrices"] else self._adam(g, state, group)
        if group["weight_decay"]:
            p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(direction, alpha=-group["lr"])

    def _muon(self, g: Tensor, state: State, group: State) -> Tensor:
        v = buffer(state, "v", g)
        v.lerp_(g, 1 - group["momentum"])
        u = torch.lerp(g, v, group["momentum"]) if group["nesterov"] else v
        rows = u.flatten(1)
        return (orthogonalize(rows, group["steps"]) * math.sqrt(max(1, rows.shape[0] / rows.shape[1]))).view(g.shape)

    def _adam(self, g: Tensor, state: State, group: State) -> Tensor:
        m, v = update_moments(g, state, group["betas"])
        return (m / group["m"]).div_((v / group["v"]).sqrt_().add_(group["eps"]))


@harness.optimizer(
    reference="Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, kellerjordan.github.io; "
    "Liu et al., Muon is scalable for LLM training, 2025, arXiv:2502.16982"
)
def muon(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1e-1), Gt(0), "learning rate of matrices: the singular values of a step"] = 0.02,
    momentum: Annotated[float, Choice(0.9, 0.95, 0.99), Interval(ge=0, lt=1), "decay rate μ of the momentum"] = 0.95,
    nesterov: Annotated[bool, "average the momentum with the gradient once more"] = True,
    steps: Annotated[int, Integers(3, 8), Interval(ge=1, le=20), "Newton-Schulz iterations"] = 5,
    adamw_lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "learning rate of biases and other vectors"] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decoupled = 0.0,
) -> Optimizer:
    """Muon: orthogonalized momentum for weight matrices, AdamW for all other parameters.

    With μ = `momentum`, λ = `weight_decay`, and a weight as a matrix [n, m] (kernels: output channels by the rest):

        v ← μ v + (1 - μ) g
        u = μ v + (1 - μ) g, or v without nesterov
        w ← w - lr (sqrt(max(1, n / m)) U Vᵀ + λ w),  u = U S Vᵀ

    U Vᵀ is approximated by `steps` Newton-Schulz iterations from X = u / |u|, which bring S near 1:
    X ← a X + (b X Xᵀ + c (X Xᵀ)²) X. Parameters of one dimension take AdamW's step with `adamw_lr`, `betas`, `eps`.

    The authors leave embeddings and the last layer to AdamW; here they are matrices like any other.

    A step equalizes the singular values of the gradient, here 4 and 1:

    >>> w = torch.nn.Parameter(torch.zeros(2, 2))
    >>> w.grad = torch.diag(torch.tensor([4.0, 1.0]))
    >>> muon([w], lr=1.0).step()
    >>> [round(x, 1) for x in w.diagonal().tolist()]
    [-0.7, -0.7]
    """
    common = {"weight_decay": weight_decay}
    groups = [
        {"params": [p for p in params if p.ndim > 1], "matrices": True, "lr": lr, "momentum": momentum,
         "nesterov": nesterov, "steps": steps, **common},
        {"params": [p for p in params if p.ndim <= 1], "matrices": False, "lr": adamw_lr, "betas": betas, "eps": eps,
         **common},
    ]  # fmt: skip
    return Muon([group for group in groups if group["params"]], lr=lr)
