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
    """Draws from Beta(alpha, alpha), in float64, without rejection (Devroye, Random variate generation, 1996).

    1/2 + sign(c) / (2 sqrt(1 + 1 / ((u^(-1/alpha) - 1) c²))), c = cos(2πv), u and v uniform.
    """
    u, v = noise.uniform(shape, torch.float64), noise.uniform(shape, torch.float64)
    c = torch.cos(2 * math.pi * v)
    squared = ((1 - u) ** (-1 / alpha) - 1) * c * c  # 1 - u is never 0; an infinite power is the end of the range
    drawn: Tensor = 0.5 + 0.5 * c.sign() / torch.sqrt(1 + 1 / squared)
    return drawn


def _mixed(y: Tensor, other: Tensor, share: Tensor, classes: int | None, dtype: torch.dtype) -> Tensor:
    """share · y + (1 - share) · y[other], [N] of shares: of probabilities for classes, of the numbers themselves."""
    p = y.to(dtype) if classes is None else probabilities(y, classes, dtype)
    share = share.to(dtype).reshape(-1, *[1] * (p.ndim - 1))
    return share * p + (1 - share) * p[other]


@harness.augmentation(reference="Zhang et al., mixup: Beyond empirical risk minimization, ICLR 2018, arXiv:1710.09412")
def mixup(
    classes: int | None,
    *,
    alpha: Annotated[float, Log(0.05, 4.0), Gt(0), "near 0, samples are left as they are; 1: any share"] = 0.2,
) -> Augmentation:
    """Replaces each sample and its target by a mean with another sample of the batch.

    x' = λ x + (1 - λ) x[π], y' = λ y + (1 - λ) y[π], λ ~ Beta(alpha, alpha) drawn for each sample, π a permutation of
    the batch. Class targets [N] become probabilities [N, C]; real targets are mixed as they are.
    """

    def mix(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        other, share = noise.permutation(len(x)), beta(noise, alpha, (len(x),))
        mine = share.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return mine * x + (1 - mine) * x[other], _mixed(y, other, share, classes, x.dtype)

    return mix


@harness.augmentation(
    input_ndim=(3,), reference="Yun et al., CutMix: Regularization strategy, ICCV 2019, arXiv:1905.04899"
)
def cutmix(
    classes: int | None,
    *,
    alpha: Annotated[float, Log(0.05, 4.0), Gt(0), "of the Beta distribution of the share that is kept"] = 1.0,
) -> Augmentation:
    """Replaces a box of each image by that of another image of the batch, and its target by their areas' mean.

    The box has sides sqrt(1 - λ) of the image's, λ ~ Beta(alpha, alpha), and a uniform centre; what lies outside of the
    image is cut off. y' = s y + (1 - s) y[π], s the share of the pixels that are kept, π a permutation of the batch.
    Class targets [N] become probabilities [N, C]; real targets are mixed as they are. x: [N, C, H, W].
    """

    def mix(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        other, side = noise.permutation(len(x)), torch.sqrt(1 - beta(noise, alpha, (len(x),)))
        theirs = box(noise, x, (side * height).to(torch.int64), (side * width).to(torch.int64))
        kept = 1 - theirs.sum((1, 2, 3)).to(x.dtype) / (height * width)
        return torch.where(theirs, x[other], x), _mixed(y, other, kept, classes, x.dtype)

    return mix
