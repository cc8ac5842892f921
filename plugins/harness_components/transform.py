"""Transforms of the inputs, fitted on the training split alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

import harness
from harness.dataset import row_chunks

Per = Literal["auto", "feature", "channel"]


def _over(train: Tensor, per: Per) -> list[int]:
    """The dimensions that share one scale: all but the channel for images, the samples alone for vectors."""
    by_channel = per == "channel" or (per == "auto" and train.ndim == 4)
    return [0, *range(2, train.ndim)] if by_channel else [0]


@harness.transform(reference="LeCun, Bottou, Orr, Müller, Efficient backprop, 1998, section 4.3")
def standardize(train: Tensor, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """Mean 0 and deviation 1, for each feature of vectors and each channel of images (per=auto).

    x' = (x - μ) / σ with μ and σ (biased) of the training inputs; what does not vary there is only centred.
    """
    over = _over(train, per)
    low, high = train.amin(over, keepdim=True), train.amax(over, keepdim=True)
    count = train.numel() // low.numel()
    zero = torch.zeros_like(low, dtype=torch.float64)
    mean = sum((x.double().sum(over, keepdim=True) for x in row_chunks(train)), zero) / count
    var = sum(((x.double() - mean).square().sum(over, keepdim=True) for x in row_chunks(train)), zero) / count
    std = torch.where(high > low, var.sqrt(), 1.0)  # where nothing varies, the deviation may be a rounding and not zero
    mean, std = mean.float()[0], std.float()[0].clamp_min(torch.finfo(torch.float32).tiny)
    return lambda x: (x - mean) / std


@harness.transform
def min_max(train: Tensor, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """The training inputs' range as 0 .. 1, for each feature of vectors and each channel of images (per=auto).

    x' = (x - min) / (max - min); what does not vary becomes 0.
    """
    over = _over(train, per)
    low, high = train.amin(over, keepdim=True)[0], train.amax(over, keepdim=True)[0]
    span = torch.where(high > low, high - low, 1.0)
    return lambda x: (x - low) / span
