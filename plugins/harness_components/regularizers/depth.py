"""Regularizers of residual branches."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

import harness
from harness import Regularizer
from harness.space import Uniform


class DropBranch(nn.Module):
    """Drops a sample's whole branch in training, and scales the others'."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, ...]."""
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device) >= self.p
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class StochasticDepth(Regularizer):
    """Later branches are dropped more often."""

    def __init__(self, p: float) -> None:
        self.p = p

    def branch(self, index: int, depth: int) -> nn.Module:
        """Branch `index` of `depth` is dropped with probability p (index + 1) / depth."""
        return DropBranch(self.p * (index + 1) / depth)


@harness.regularizer(
    reference="Huang, Sun, Liu, Sedra, Weinberger, Deep networks with stochastic depth, ECCV 2016, arXiv:1603.09382"
)
def stochastic_depth(
    *, p: Annotated[float, Uniform(0.05, 0.7), Interval(ge=0, lt=1), "share of the last branch dropped"] = 0.2
) -> Regularizer:
    """Drops whole residual branches at random in training, one sample at a time, and scales the others.

    h ← h + b f(h) / (1 - p_l), b ~ Bernoulli(1 - p_l), p_l = p l / L for branch l of L. Does nothing to a model
    without residual branches.
    """
    return StochasticDepth(p)
