"""Augmentations that mix each sample with another one of its batch; class targets become probabilities."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor

import harness
from harness.space import Log
from harness_components.augmentations.standard import Augmentation, box
from harness_components.losses.probability import probabilities


def beta(noise: Any, alpha: float, shape: tuple[int, ...]) -> Tensor:
    """Draw from Beta(alpha, alpha) in float64, without rejection (Devroye, Random variate generation, 1996).

    With u and v uniform in [0, 1] and c = cos(2πv):

        1/2 + sign(c) / (2 sqrt(1 + 1 / ((u^(-1/alpha) - 1) c²)))
    """
    u, v = noise.uniform(shape, torch.float64), noise.uniform(shape, torch.float64)
    c = torch.cos(2 * math.pi * v)
    squared = ((1 - u) ** (-1 / alpha) - 1) * c * c  # 1 - u is never 0; an infinite power is the end of the range
    sample: Tensor = 0.5 + 0.5 * c.sign() / torch.sqrt(1 + 1 / squared)
    return sample


def _mix_targets(y: Tensor, other: Tensor, share: Tensor, classes: int | None, dtype: torch.dtype) -> Tensor:
    """Return share · y + (1 - share) · y[other] for shares [N]: of class probabilities, or of real targets."""
    p = y.to(dtype) if classes is None else probabilities(y, classes, dtype)
    share = share.to(dtype).reshape(-1, *[1] * (p.ndim - 1))
    return share * p + (1 - share) * p[other]


@harness.augmentation(reference="Zhang et al., mixup: Beyond empirical risk minimization, ICLR 2018, arXiv:1710.09412")
def mixup(
    classes: int | None,
    *,
    alpha: Annotated[float, Log(0.05, 4.0), Gt(0), "near 0: almost no mixing; 1: λ is uniform"] = 0.2,
) -> Augmentation:
    """Mixup: replace each sample and its target by a convex combination with another sample of the batch.

    With λ ~ Beta(α, α) drawn for each sample, α = `alpha`, and π a permutation of the batch:

        x' = λ x + (1 - λ) x[π]
        y' = λ y + (1 - λ) y[π]

    Class targets `[N]` become probabilities `[N, C]`; real targets are mixed as they are.
    """

    def mix(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        other, share = noise.permutation(len(x)), beta(noise, alpha, (len(x),))
        weight = share.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return weight * x + (1 - weight) * x[other], _mix_targets(y, other, share, classes, x.dtype)

    return mix


@harness.augmentation(
    input_ndim=(3,), reference="Yun et al., CutMix: Regularization strategy, ICCV 2019, arXiv:1905.04899"
)
def cutmix(
    classes: int | None,
    *,
    alpha: Annotated[float, Log(0.05, 4.0), Gt(0), "parameter α; small values keep or replace almost everything"] = 1.0,
) -> Augmentation:
    """CutMix: replace a box of each image by that of another image of the batch, and mix their targets by area.

    The box has sides sqrt(1 - λ) of the image's, λ ~ Beta(α, α), α = `alpha`, and a uniform centre; parts outside of
    the image are cut off. With s the share of the pixels kept and π a permutation of the batch:

        y' = s y + (1 - s) y[π]

    Class targets `[N]` become probabilities `[N, C]`; real targets are mixed as they are. Inputs are images `[N, C, H,
    W]`.
    """

    def mix(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        other, side = noise.permutation(len(x)), torch.sqrt(1 - beta(noise, alpha, (len(x),)))
        mask = box(noise, x, (side * height).to(torch.int64), (side * width).to(torch.int64))
        share = 1 - mask.sum((1, 2, 3)).to(x.dtype) / (height * width)
        return torch.where(mask, x[other], x), _mix_targets(y, other, share, classes, x.dtype)

    return mix
