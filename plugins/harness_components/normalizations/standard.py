"""Normalizations, placed between a layer and its activation."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import harness
from harness import HarnessError
from harness.space import Integers, Log, Uniform

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


@harness.normalization(reference="Wu, He, Group normalization, ECCV 2018, arXiv:1803.08494")
def group_norm(
    features: int,
    ndim: int,
    *,
    groups: Annotated[int, Integers(1, 32, log=True), Ge(1), "of channels; fewer where they do not divide them"] = 8,
    eps: Annotated[float, Log(1e-8, 1e-2), Gt(0)] = 1e-5,
) -> nn.Module:
    """Group normalization.

    y = γ (x - μ) / sqrt(σ² + ε) + β with μ and σ² over the channels of a group and over space, for each sample. As
    many groups as divide the channels, `groups` at most.
    """
    return nn.GroupNorm(math.gcd(groups, features), features, eps=eps)


@harness.normalization(
    reference="Ulyanov, Vedaldi, Lempitsky, Instance normalization, 2016, arXiv:1607.08022",
    cancels_bias=True,
    input_ndim=(2, 3, 4),
)
def instance_norm(features: int, ndim: int, *, eps: Annotated[float, Log(1e-8, 1e-2), Gt(0)] = 1e-5) -> nn.Module:
    """Instance normalization.

    y = γ (x - μ) / sqrt(σ² + ε) + β with μ and σ² over space, for each channel of each sample; so it wants space: a
    cnn, and no mlp.
    """
    if ndim == 0:
        raise HarnessError("normalization instance_norm averages over space, and the layers of this model have none")
    return nn.GroupNorm(features, features, eps=eps)  # a group for each channel; torch's own takes no single place


class ChannelRmsNorm(nn.Module):
    """Root-mean-square normalization over the channels, for inputs [N, C, ...]."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, ...], normalized over C at each place."""
        last = x.movedim(1, -1)
        scaled = last * torch.rsqrt(last.square().mean(-1, keepdim=True) + self.eps) * self.weight
        return scaled.movedim(-1, 1)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


@harness.normalization(
    reference="Zhang, Sennrich, Root mean square layer normalization, NeurIPS 2019, arXiv:1910.07467, eq. 4"
)
def rms_norm(features: int, ndim: int, *, eps: Annotated[float, Log(1e-8, 1e-2), Gt(0)] = 1e-6) -> nn.Module:
    """Root-mean-square layer normalization: layer normalization without centring.

    y = γ x / sqrt(mean_c(x²) + ε), over the channels of each sample (at each place of an image).
    """
    return ChannelRmsNorm(features, eps)


class Direction(nn.Module):
    """A weight from each unit's length g [out, 1, ...] and v, whose direction alone counts. Torch's own kernel has no
    rule for a stack of networks.
    """

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        """v: [out, ...] -> the same shape."""
        return v * (g / _lengths(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """g and v of a weight."""
        return _lengths(weight), weight


def _lengths(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)


@harness.normalization(reference="Salimans, Kingma, Weight normalization, NeurIPS 2016, arXiv:1602.07868, eq. 2")
def weight_norm(layer: nn.Module, name: str) -> None:
    """Weight normalization: the length and the direction of each unit's weights are learned apart.

    w = g v / ‖v‖, one g a unit; of every matrix and kernel of the model.
    """
    parametrize.register_parametrization(layer, name, Direction())


class Spectral(nn.Module):
    """Divides a weight by an estimate of its largest singular value. Torch's own writes into buffers in ways that a
    stack of networks cannot.
    """

    u: Tensor

    def __init__(self, weight: Tensor, iterations: int, generator: Generator) -> None:
        super().__init__()
        self.iterations = iterations
        self.register_buffer("u", F.normalize(torch.randn(len(weight), generator=generator), dim=0))
        for _ in range(15):  # near enough from the first step on
            self.u = self._iterate(weight.detach().flatten(1), self.u)[0]

    def forward(self, weight: Tensor) -> Tensor:
        """weight: [out, ...] -> the same shape."""
        matrix = weight.flatten(1)
        with torch.no_grad():
            u, v = self.u.clone(), F.normalize(matrix.T @ self.u, dim=0)
            for _ in range(self.iterations if self.training else 0):
                u, v = self._iterate(matrix, u)
            if self.training:
                self.u.copy_(u)
        return weight / (u @ (matrix @ v))

    @staticmethod
    def _iterate(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        u = F.normalize(matrix @ F.normalize(matrix.T @ u, dim=0), dim=0)
        return u, F.normalize(matrix.T @ u, dim=0)


@harness.normalization(
    reference="Miyato, Kataoka, Koyama, Yoshida, Spectral normalization for GANs, ICLR 2018, arXiv:1802.05957"
)
def spectral_norm(
    layer: nn.Module,
    name: str,
    generator: Generator,
    *,
    power_iterations: Annotated[int, Integers(1, 5), Ge(1), "of the estimate of σ, a step"] = 1,
) -> None:
    """Spectral normalization: each layer is divided by its largest singular value, and so is 1-Lipschitz.

    W ← W / σ(W), with σ by power iteration; of every matrix, and of kernels as matrices [out, in · places].
    """
    parametrize.register_parametrization(layer, name, Spectral(getattr(layer, name), power_iterations, generator))
