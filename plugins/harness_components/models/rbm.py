"""Models that learn an energy, low where the data is."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness.space import Integers

COUNTED = 14  # units of the smaller layer, at most, whose states are counted one by one
SWEEPS = 500  # of Gibbs sampling, from noise to a sample


class Rbm(nn.Module):
    """Visible and hidden binary units, and a weight between each two of different kinds."""

    def __init__(self, inputs: tuple[int, ...], hidden: int, k: int) -> None:
        super().__init__()
        visible = math.prod(inputs)
        self.inputs, self.k = inputs, k
        self.weight = nn.Parameter(torch.zeros(hidden, visible))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))

    def free_energy(self, v: Tensor) -> Tensor:
        """v: [N, visible] -> [N]"""
        return -(v * self.visible_bias).sum(1) - F.softplus(F.linear(v, self.weight, self.bias)).sum(1)

    def sweep(self, v: Tensor, times: int) -> Tensor:
        """v: [N, visible], after so many sweeps of Gibbs sampling: the hidden units, then the visible ones."""
        for _ in range(times):
            h = torch.bernoulli(torch.sigmoid(F.linear(v, self.weight, self.bias)))
            v = torch.bernoulli(torch.sigmoid(F.linear(h, self.weight.mT, self.visible_bias)))
        return v

    def log_partition(self) -> Tensor:
        """log Z, counted over all states of the smaller layer; nan where these are too many."""
        hidden, visible = self.weight.shape
        n = min(hidden, visible)
        if n > COUNTED:
            return self.weight.new_full((), math.nan)
        places = torch.arange(n, device=self.weight.device)
        states = ((torch.arange(2**n, device=self.weight.device)[:, None] >> places) & 1).to(self.weight.dtype)
        if visible <= hidden:
            return torch.logsumexp(-self.free_energy(states), 0)
        inner = F.softplus(F.linear(states, self.weight.mT, self.visible_bias)).sum(1)
        return torch.logsumexp((states * self.bias).sum(1) + inner, 0)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """x: [N, ...] -> the free energies [N] of the inputs and of what k sweeps make of them; in evaluation also
        log p(x) [N].
        """
        v = x.flatten(1)
        with torch.no_grad():
            dreamt = self.sweep(v, self.k)
        energy = self.free_energy(v)
        found = energy, self.free_energy(dreamt)
        return found if self.training else (*found, -energy - self.log_partition())

    def sample(self, like: Tensor) -> Tensor:
        """As many samples as `like` has, by Gibbs sampling from noise."""
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
    k: Annotated[int, Integers(1, 20, log=True), Gt(0), "sweeps of Gibbs sampling from the data"] = 1,
) -> nn.Module:
    """Restricted Boltzmann machine, trained by CD-k.

    p(v) = Σ_h exp(bᵀv + cᵀh + hᵀWv) / Z = exp(-F(v)) / Z, with F(v) = - bᵀv - Σ_j log(1 + exp(c_j + W_j v)), for
    binary inputs (so `transform=[]`), or amounts in 0 .. 1. In evaluation it tells the exact log p(v), if one of its
    layers has 14 units at most, whose states can be counted.
    """
    return Rbm(inputs, hidden, k)
