"""Transforms of the inputs, fitted on the training split alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

import harness
from harness import HarnessError
from harness.space import Log

Per = Literal["auto", "feature", "channel"]
Chunks = Callable[[], Iterator[Tensor]]  # the training inputs, some rows at a time, as often as they are asked for


def _over(train: Tensor, per: Per) -> list[int]:
    """The dimensions that share one scale: all but the channel for images, the samples alone for vectors, and for
    sequences [T, C] all but the last, so that a step is scaled as every other and the length is free.
    """
    if not train.is_floating_point():
        raise HarnessError(
            "the inputs are indices, not numbers to scale: choose 'transform=[]' or 'transform=[one_hot]'"
        )
    if train.ndim == 3 and per != "feature":
        return [0, 1]
    by_channel = per == "channel" or (per == "auto" and train.ndim == 4)
    return [0, *range(2, train.ndim)] if by_channel else [0]


def _range(chunks: Chunks, per: Per) -> tuple[list[int], Tensor, Tensor, int]:
    """(the dimensions that share a scale, least and largest values along them, how many values each stands for)."""
    over: list[int] = []
    lows, highs, count = [], [], 0
    for x in chunks():
        over = _over(x, per)
        lows.append(x.amin(over, keepdim=True))
        highs.append(x.amax(over, keepdim=True))
        count += x.numel() // lows[0].numel()
    return over, torch.cat(lows).amin(0, keepdim=True), torch.cat(highs).amax(0, keepdim=True), count


@harness.transform(reference="LeCun, Bottou, Orr, Müller, Efficient backprop, 1998, section 4.3")
def standardize(chunks: Chunks, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """Mean 0 and deviation 1, for each feature of vectors and each channel of images (per=auto).

    x' = (x - μ) / σ with μ and σ (biased) of the training inputs; what does not vary there is only centred.
    """
    over, low, high, count = _range(chunks, per)
    zero = torch.zeros_like(low, dtype=torch.float64)
    mean = sum((x.double().sum(over, keepdim=True) for x in chunks()), zero) / count
    var = sum(((x.double() - mean).square().sum(over, keepdim=True) for x in chunks()), zero) / count
    std = torch.where(high > low, var.sqrt(), 1.0)  # where nothing varies, the deviation may be a rounding and not zero
    mean, std = mean.to(low.dtype)[0], std.to(low.dtype)[0].clamp_min(torch.finfo(torch.float32).tiny)
    return lambda x: (x - mean) / std


@harness.transform(within=(0, 1))
def min_max(chunks: Chunks, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """The training inputs' range as 0 .. 1, for each feature of vectors and each channel of images (per=auto).

    x' = (x - min) / (max - min); what does not vary becomes 0.
    """
    _, low, high, _ = _range(chunks, per)
    low, high = low[0], high[0]
    span = torch.where(high > low, high - low, 1.0)
    return lambda x: (x - low) / span


@harness.transform(reference="Huber, Ronchetti, Robust Statistics, second edition, Wiley 2009")
def robust(train: Tensor, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """Median 0 and interquartile range 1, which few outliers cannot move, for each feature or channel (per=auto).

    x' = (x - median) / (q₇₅ - q₂₅) with the training inputs' quantiles; where these are equal, it is only centred.
    """
    over = _over(train, per)
    low, median, high = np.quantile(train.numpy(), (0.25, 0.5, 0.75), axis=tuple(over), keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    centre, scale = (torch.as_tensor(a[0], dtype=train.dtype) for a in (median, span))
    scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
    return lambda x: (x - centre) / scale


WIDEST = 8192  # features whose covariance is still worth decomposing


@harness.transform(reference="Kessy, Lewin, Strimmer, Optimal whitening and decorrelation, 2018, arXiv:1512.00809")
def whiten(
    chunks: Chunks,
    *,
    method: Annotated[Literal["zca", "pca"], "zca: as near to the inputs as can be; pca: along the components"] = "zca",
    epsilon: Annotated[float, Log(1e-8, 1e-1), Gt(0), "added to each variance, as a share of the largest"] = 1e-6,
) -> Callable[[Tensor], Tensor]:
    """Mean 0 and the identity as covariance, over all features of the flattened inputs; the shape stays.

    pca:  x' = (x - μ) U (Λ + ε λ₁)^(-½);  zca:  the same, times Uᵀ;  with U Λ Uᵀ the training inputs' covariance
    (biased) and λ₁ its largest eigenvalue. Directions in which training does not vary become 0.
    """
    count, mean = 0, torch.zeros(())
    for x in chunks():
        if not x.is_floating_point():
            raise HarnessError("the inputs are indices, not numbers to whiten: choose 'transform=[]'")
        width = x[0].numel()
        if width > WIDEST:
            raise HarnessError(f"whiten wants {WIDEST} features or fewer, and there are {width}")
        dtype, count, mean = x.dtype, count + len(x), mean + x.flatten(1).double().sum(0)
    mean = mean / count
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for x in chunks():
        off = x.flatten(1).double() - mean
        covariance.addmm_(off.T, off)
    values, vectors = torch.linalg.eigh(covariance / count)
    values, vectors = values.flip(0), vectors.flip(1)  # the largest first, as components are told
    # less than the rounding of the inputs is no variance
    varies = values > values[0].clamp_min(0) * width * torch.finfo(dtype).eps ** 2
    factor = torch.where(varies, (values + epsilon * values[0]).clamp_min(1e-300).rsqrt(), 0.0)
    matrix = vectors * factor
    if method == "zca":
        matrix = matrix @ vectors.T
    return lambda x: ((x.flatten(1).double() - mean) @ matrix).to(x.dtype).reshape(x.shape)


@harness.transform
def one_hot(
    chunks: Chunks,
    *,
    columns: Annotated[
        tuple[Annotated[int, Ge(0)], ...], "the features to encode, from 0; []: those of few values"
    ] = (),
    few: Annotated[int, Gt(1), "with columns=[]: whole numbers of up to so many different values are categories"] = 20,
) -> Callable[[Tensor], Tensor]:
    """Turns categories into indicators: one number for each value that the training split has, 1 where it stands.

    For inputs [D]: a feature of values v₁ < v₂ < ... becomes ([x = v₁], [x = v₂], ...) in its place; a value that
    training lacks becomes zeros. Inputs that are integers (indices of words, say) are categories all, and an index i
    of training's 0 .. max has its number i, whether it occurs or not.
    """
    found: dict[int, Tensor] = {}  # the values of each feature, but of those that have too many
    for x in chunks():
        if x.ndim != 2:
            raise HarnessError(
                f"one_hot encodes the features of vectors, and samples here have shape {tuple(x.shape[1:])}"
            )
        indices, width = not x.is_floating_point(), x.shape[1]
        if any(column >= width for column in columns):
            raise HarnessError(f"transform.one_hot.columns={list(columns)}, and there are {width} features, from 0")
        for column in found or columns or range(width):
            values = torch.cat([found.get(column, x[:0, column]), x[:, column]]).unique()
            found[column] = values[-1:] if indices else values
        if not indices and not columns:
            found = {c: v for c, v in found.items() if len(v) <= few and bool((v == v.round()).all())}
            if not found:
                break
    known = {c: torch.arange(int(v[-1]) + 1) if indices else v for c, v in found.items()}

    def encode(x: Tensor) -> Tensor:
        dtype = x.dtype if x.is_floating_point() else torch.float32
        columns = ((x[:, i, None], known.get(i)) for i in range(x.shape[1]))
        return torch.cat([(c if v is None else c == v).to(dtype) for c, v in columns], dim=1)

    return encode


@harness.transform
def flatten() -> Callable[[Tensor], Tensor]:
    """Every sample as one vector: [N, ...] becomes [N, D]."""
    return lambda x: x.flatten(1)


@harness.transform
def channels_first() -> Callable[[Tensor], Tensor]:
    """Moves the channels of images before their rows: [N, height, width, C] becomes [N, C, height, width].

    For data that keeps the channels last, as files of pictures do; choose it before other transforms. Vectors stay as
    they are.
    """

    def move(x: Tensor) -> Tensor:
        if x.ndim == 3:
            raise HarnessError(
                f"channels_first moves the channels of images [height, width, channels], and samples here have shape "
                f"{list(x.shape[1:])}"
            )
        return x.movedim(-1, 1).contiguous()

    return move
