"""Normalizations, between a layer and its activation."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import harness
from harness import HarnessError
from harness.space import Integers, Log, Uniform

Eps = Annotated[float, Log(1e-8, 1e-2), Gt(0), "ε, added to the variance"]
_BATCH = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@harness.normalization
def none(features: int, ndim: int) -> None:
    """No normalization."""


class BatchStatistics(nn.Module):
    """Batch normalization that evaluates groups of samples with their own statistics."""

    def __init__(self, norm: nn.Module, group: int | None) -> None:
        super().__init__()
        self.norm, self.group = norm, group

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...]; the last group of a batch takes what is left, up to twice its size."""
        groups = 1 if self.training or self.group is None else max(1, len(x) // self.group)
        size = len(x) // groups
        parts = [x[i * size : (i + 1) * size] for i in range(groups - 1)] + [x[(groups - 1) * size :]]
        return torch.cat([self.norm(part) for part in parts])


@harness.normalization(reference="Ioffe, Szegedy, Batch normalization, ICML 2015, arXiv:1502.03167", cancels_bias=True)
def batch_norm(
    features: int,
    ndim: int,
    *,
    momentum: Annotated[float, Uniform(0.01, 0.5), Interval(gt=0, le=1), "update rate of the running averages"] = 0.1,
    eps: Eps = 1e-5,
    evaluation: Annotated[
        Literal["running", "batch"], "statistics of evaluation: running averages, or those of its own batches"
    ] = "running",
    group: Annotated[int | None, Ge(2), "evaluation=batch: samples that share statistics; null: all of a batch"] = None,
) -> nn.Module:
    """Batch normalization.

    With μ and σ² (biased) of each channel over batch and space, ε = `eps`, and learned γ, β:

        y = γ (x - μ) / sqrt(σ² + ε) + β

    Evaluation uses running averages of μ and σ², or with evaluation=batch those of each `group` of its own samples, as
    in test-time adaptation. Small batches make it noisy, and batches of one fail: see `group_norm`.

    >>> norm = batch_norm(1, 0)
    >>> norm(torch.tensor([[1.0], [3.0]])).detach().round(decimals=3)
    tensor([[-1.],
            [ 1.]])
    """
    running = evaluation == "running"
    norm = _BATCH[ndim](features, eps=eps, momentum=momentum, track_running_stats=running)
    return norm if running else BatchStatistics(norm, group)


class ChannelLayerNorm(nn.Module):
    """Layer normalization over the channels of inputs [N, C, ...]."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...] over C at each position."""
        last = x.movedim(1, -1)
        return nn.functional.layer_norm(last, self.weight.shape, self.weight, self.bias, self.eps).movedim(-1, 1)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


@harness.normalization(reference="Ba, Kiros, Hinton, Layer normalization, 2016, arXiv:1607.06450")
def layer_norm(features: int, ndim: int, *, eps: Eps = 1e-5) -> nn.Module:
    """Layer normalization.

    With μ and σ² over the channels of each sample, at each position of images and sequences, ε = `eps`, and learned γ,
    β:

        y = γ (x - μ) / sqrt(σ² + ε) + β

    >>> layer_norm(2, 0)(torch.tensor([[1.0, 3.0]])).detach().round(decimals=3)
    tensor([[-1.,  1.]])
    """
    return nn.LayerNorm(features, eps=eps) if ndim == 0 else ChannelLayerNorm(features, eps)


@harness.normalization(reference="Wu, He, Group normalization, ECCV 2018, arXiv:1803.08494")
def group_norm(
    features: int,
    ndim: int,
    *,
    groups: Annotated[int, Integers(1, 32, log=True), Ge(1), "groups of channels, at most"] = 8,
    eps: Eps = 1e-5,
) -> nn.Module:
    """Group normalization.

    With μ and σ² over the channels of a group and over space, for each sample, ε = `eps`, and learned γ, β:

        y = γ (x - μ) / sqrt(σ² + ε) + β

    The number of groups is the largest common divisor of `groups` and the channels.

    >>> group_norm(4, 0, groups=2)(torch.tensor([[1.0, 3.0, 10.0, 20.0]])).detach().round(decimals=3)
    tensor([[-1.,  1., -1.,  1.]])
    """
    return nn.GroupNorm(math.gcd(groups, features), features, eps=eps)


@harness.normalization(
    reference="Ulyanov, Vedaldi, Lempitsky, Instance normalization, 2016, arXiv:1607.08022",
    cancels_bias=True,
    input_ndim=(2, 3, 4),
)
def instance_norm(features: int, ndim: int, *, eps: Eps = 1e-5) -> nn.Module:
    """Instance normalization.

    With μ and σ² over space, for each channel of each sample, ε = `eps`, and learned γ, β:

        y = γ (x - μ) / sqrt(σ² + ε) + β

    Requires layers with spatial dimensions: a cnn, not an mlp.

    >>> instance_norm(1, 1)(torch.tensor([[[1.0, 3.0]]])).detach().round(decimals=3)
    tensor([[[-1.,  1.]]])
    """
    if ndim == 0:
        raise HarnessError(
            "normalization instance_norm averages over spatial dimensions, and the layers of this model have none: "
            "choose normalization=layer_norm, or model=cnn"
        )
    return nn.GroupNorm(features, features, eps=eps)  # a group for each channel; torch's own takes no single place


class ChannelRmsNorm(nn.Module):
    """Root-mean-square normalization over the channels of inputs [N, C, ...]."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...] over C at each position."""
        last = x.movedim(1, -1)
        scaled = last * torch.rsqrt(last.square().mean(-1, keepdim=True) + self.eps) * self.weight
        return scaled.movedim(-1, 1)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


@harness.normalization(
    reference="Zhang, Sennrich, Root mean square layer normalization, NeurIPS 2019, arXiv:1910.07467, eq. 4"
)
def rms_norm(features: int, ndim: int, *, eps: Eps = 1e-6) -> nn.Module:
    """Root-mean-square normalization: layer normalization without centring.

    Over the channels of each sample, at each position of images and sequences, with ε = `eps` and learned γ:

        y = γ x / sqrt(mean_c(x²) + ε)

    >>> rms_norm(2, 0)(torch.tensor([[1.0, 7.0]])).detach().round(decimals=3)  # mean square 25
    tensor([[0.2000, 1.4000]])
    """
    return ChannelRmsNorm(features, eps)


class Direction(nn.Module):
    """Compute a weight from each unit's norm g [out, 1, ...] and direction v; torch's kernel has no batching rule."""

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        """Return g v / ‖v‖, of the shape of v, [out, ...]."""
        return v * (g / _lengths(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return g and v of a weight."""
        return _lengths(weight), weight


def _lengths(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)


@harness.normalization(reference="Salimans, Kingma, Weight normalization, NeurIPS 2016, arXiv:1602.07868, eq. 2")
def weight_norm(layer: nn.Module, name: str) -> None:
    """Weight normalization: norm and direction of each unit's weights are separate parameters.

    For every matrix and kernel of the model, with g a number for each unit:

        w = g v / ‖v‖
    """
    parametrize.register_parametrization(layer, name, Direction())


class Spectral(nn.Module):
    """Divide a weight by an estimate of its largest singular value; torch's version cannot run on a stack of runs."""

    u: Tensor

    def __init__(self, weight: Tensor, iterations: int, generator: Generator) -> None:
        super().__init__()
        self.iterations = iterations
        self.register_buffer("u", F.normalize(torch.randn(len(weight), generator=generator), dim=0))
        for _ in range(15):  # close enough from the first step on
            self.u = self._iterate(weight.detach().flatten(1), self.u)[0]

    def forward(self, weight: Tensor) -> Tensor:
        """Map a weight [out, ...] to the same shape."""
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
    power_iterations: Annotated[int, Integers(1, 5), Ge(1), "power iterations in a training step"] = 1,
) -> None:
    """Spectral normalization: divide each weight by its largest singular value, so that layers are 1-Lipschitz.

    For every matrix, and kernels as matrices [out, in · positions], with σ estimated by power iteration:

        W ← W / σ(W)
    """
    parametrize.register_parametrization(layer, name, Spectral(getattr(layer, name), power_iterations, generator))
