"""Normalizations, placed between a layer and its activation."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor, nn

import harness
from harness.space import Log, Uniform

_BATCH = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@harness.normalization
def none(features: int, ndim: int) -> None:
    """No normalization."""


@harness.normalization(reference="Ioffe, Szegedy, Batch normalization, ICML 2015, arXiv:1502.03167", cancels_bias=True)
def batch_norm(
    features: int,
    ndim: int,
    *,
    momentum: Annotated[float, Uniform(0.01, 0.5), Interval(gt=0, le=1)] = 0.1,
    eps: Annotated[float, Log(1e-8, 1e-2), Gt(0)] = 1e-5,
) -> nn.Module:
    """Batch normalization.

    y = γ (x - μ) / sqrt(σ² + ε) + β with μ and σ² (biased) over batch and space for each channel; in evaluation
    the running averages, which move by `momentum` a step.
    """
    return _BATCH[ndim](features, eps=eps, momentum=momentum)


class ChannelLayerNorm(nn.Module):
    """Layer normalization over the channels, for inputs [N, C, ...]."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, ...], normalized over C at each place."""
        last = x.movedim(1, -1)
        return nn.functional.layer_norm(last, self.weight.shape, self.weight, self.bias, self.eps).movedim(-1, 1)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


@harness.normalization(reference="Ba, Kiros, Hinton, Layer normalization, 2016, arXiv:1607.06450")
def layer_norm(features: int, ndim: int, *, eps: Annotated[float, Log(1e-8, 1e-2), Gt(0)] = 1e-5) -> nn.Module:
    """Layer normalization.

    y = γ (x - μ) / sqrt(σ² + ε) + β with μ and σ² over the channels of each sample (at each place of an image).
    """
    return nn.LayerNorm(features, eps=eps) if ndim == 0 else ChannelLayerNorm(features, eps)
