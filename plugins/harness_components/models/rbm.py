"""Energy-based models."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness.space import Integers

MAX_ENUMERATED = 14  # largest size of the smaller layer whose states are enumerated
SWEEPS = 500  # Gibbs sweeps from noise to a sample


class Rbm(nn.Module):
    """Binary visible and hidden units with a weight for each pair of one and the other."""

    def __init__(self, inputs: tuple[int, ...], hidden: int, k: int) -> None:
        super().__init__()
        visible = math.prod(inputs)
        self.inputs, self.k = inputs, k
        self.weight = nn.Parameter(torch.zeros(hidden, visible))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F(v) [N] for v [N, visible]."""
        return -(v * self.visible_bias).sum(1) - F.softplus(F.linear(v, self.weight, self.bias)).sum(1)

    def sweep(self, v: Tensor, times: int) -> Tensor:
        """Run Gibbs sampling from v [N, visible]: `times` sweeps of the hidden, then the visible units."""
        for _ in range(times):
            h = torch.bernoulli(torch.sigmoid(F.linear(v, self.weight, self.bias)))
            v = torch.bernoulli(torch.sigmoid(F.linear(h, self.weight.mT, self.visible_bias)))
        return v

    def log_partition(self) -> Tensor:
        """Return log Z by enumerating the states of the smaller layer; nan if it has more than 14 units."""
        hidden, visible = self.weight.shape
        n = min(hidden, visible)
        if n > MAX_ENUMERATED:
            return self.weight.new_full((), math.nan)
        places = torch.arange(n, device=self.weight.device)
        states = ((torch.arange(2**n, device=self.weight.device)[:, None] >> places) & 1).to(self.weight.dtype)
        if visible <= hidden:
            return torch.logsumexp(-self.free_energy(states), 0)
        inner = F.softplus(F.linear(states, self.weight.mT, self.visible_bias)).sum(1)
        return torch.logsumexp((states * self.bias).sum(1) + inner, 0)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map [N, ...] to free energies [N] of the inputs and of samples k sweeps away, and in evaluation log p(x)."""
        v = x.flatten(1)
        with torch.no_grad():
            reconstruction = self.sweep(v, self.k)
        energy = self.free_energy(v)
        energies = energy, self.free_energy(reconstruction)
        return energies if self.training else (*energies, -energy - self.log_partition())

    def sample(self, like: Tensor) -> Tensor:
        """Draw as many samples as `like` has, by Gibbs sampling from noise."""
        v = torch.bernoulli(torch.full_like(like, 0.5)).flatten(1)
        return self.sweep(v, SWEEPS).reshape(len(like), *self.inputs)


@harness.model(
    tasks=("generation",),
    losses=("contrastive_divergence",),
    metrics=("log_likelihood",),
    inputs_within=(0, 1),
    training=True,
    initializer="he_normal",
    reference="Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 2002",
)
def rbm(
    inputs: tuple[int, ...],
    *,
    hidden: Annotated[int, Integers(4, 256, log=True), Gt(0), "hidden units"] = 12,
    k: Annotated[int, Integers(1, 20, log=True), Gt(0), "Gibbs sweeps from the data"] = 1,
) -> nn.Module:
    """Restricted Boltzmann machine, trained by CD-k with loss=contrastive_divergence.

    For binary inputs v, or values in [0, 1], with visible biases b, hidden biases c and weights W:

        p(v) = Σ_h exp(bᵀv + cᵀh + hᵀWv) / Z = exp(-F(v)) / Z
        F(v) = - bᵀv - Σ_j log(1 + exp(c_j + W_j v))

    Use it with `transform=[]`, which leaves the inputs in [0, 1]. The exact log p(v) is evaluated if the smaller layer
    has at most 14 units.

    >>> model = rbm((3,), hidden=2).eval()
    >>> [round(x, 3) for x in model(torch.zeros(1, 3))[-1].tolist()]  # all weights are zero: 3 log ½
    [-2.079]
    """
    return Rbm(inputs, hidden, k)
