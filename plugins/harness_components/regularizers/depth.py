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
    """Drop the whole branch of a sample with probability p in training, and scale the others by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to the same shape."""
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device) >= self.p
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class StochasticDepth(Regularizer):
    """Drop residual branches, the later ones more often."""

    def __init__(self, p: float) -> None:
        self.p = p

    def branch(self, index: int, depth: int) -> nn.Module:
        """Return a layer that drops branch `index` of `depth` with probability p (index + 1) / depth."""
        return DropBranch(self.p * (index + 1) / depth)


@harness.regularizer(
    reference="Huang, Sun, Liu, Sedra, Weinberger, Deep networks with stochastic depth, ECCV 2016, arXiv:1603.09382"
)
def stochastic_depth(
    *,
    p: Annotated[float, Uniform(0.05, 0.7), Interval(ge=0, lt=1), "probability that the last branch is dropped"] = 0.2,
) -> Regularizer:
    """Stochastic depth: drop whole residual branches at random in training, for each sample on its own.

    For branch l = 1 .. L, and b = 1 in evaluation without the factor:

        h ← h + b f(h) / (1 - p_l),  b ~ Bernoulli(1 - p_l),  p_l = p l / L

    Has no effect on models without residual branches: choose model=resnet, or model.residual=true where a model has it.

    >>> [stochastic_depth(p=0.3).branch(index, depth=3) for index in range(3)]
    [DropBranch(p=0.1), DropBranch(p=0.2), DropBranch(p=0.3)]
    """
    return StochasticDepth(p)
