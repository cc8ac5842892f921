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

Per = Annotated[
    Literal["auto", "feature", "channel"], "one scale for each; auto: channels of images, features of other inputs"
]
Chunks = Callable[[], Iterator[Tensor]]  # iterates over the training inputs, some rows at a time


def _shared_axes(train: Tensor, per: Per) -> list[int]:
    """Return the axes over which a scale is shared: all but the channel for images, all but the last for sequences.

    Sequences [T, C] share a scale over their steps, so that their length may vary; vectors over the samples alone.

    Raises:
        HarnessError: If the inputs are indices.
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
    """Return the axes that share a scale, the lowest and highest values along them, and how many values they span."""
    over: list[int] = []
    lows, highs, count = [], [], 0
    for x in chunks():
        over = _shared_axes(x, per)
        lows.append(x.amin(over, keepdim=True))
        highs.append(x.amax(over, keepdim=True))
        count += x.numel() // lows[0].numel()
    return over, torch.cat(lows).amin(0, keepdim=True), torch.cat(highs).amax(0, keepdim=True), count


@harness.transform(reference="LeCun, Bottou, Orr, Müller, Efficient backprop, 1998, section 4.3")
def standardize(chunks: Chunks, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """Standardize to mean 0 and standard deviation 1.

    With μ and σ (biased) of the training inputs, for each feature of vectors or channel of images (per=auto):

        x' = (x - μ) / σ

    Constant features are only centred.

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> standardize(lambda: iter([x]))(torch.tensor([[1.0], [4.0]]))
    tensor([[-1.],
            [ 2.]])
    """
    over, low, high, count = _range(chunks, per)
    zero = torch.zeros_like(low, dtype=torch.float64)
    mean = sum((x.double().sum(over, keepdim=True) for x in chunks()), zero) / count
    var = sum(((x.double() - mean).square().sum(over, keepdim=True) for x in chunks()), zero) / count
    std = torch.where(high > low, var.sqrt(), 1.0)  # the deviation of a constant may be a rounding error
    mean, std = mean.to(low.dtype)[0], std.to(low.dtype)[0].clamp_min(torch.finfo(torch.float32).tiny)
    return lambda x: (x - mean) / std


@harness.transform(within=(0, 1))
def min_max(chunks: Chunks, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """Scale the range of the training inputs to [0, 1].

    For each feature of vectors or channel of images (per=auto):

        x' = (x - min) / (max - min)

    Constant features become 0. Other splits may leave [0, 1], and an outlier compresses all other values: see `robust`.

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> min_max(lambda: iter([x]))(torch.tensor([[1.0], [4.0]]))
    tensor([[0.0000],
            [1.5000]])
    """
    _, low, high, _ = _range(chunks, per)
    low, high = low[0], high[0]
    span = torch.where(high > low, high - low, 1.0)
    return lambda x: (x - low) / span


@harness.transform(reference="Huber, Ronchetti, Robust Statistics, second edition, Wiley 2009")
def robust(train: Tensor, *, per: Per = "auto") -> Callable[[Tensor], Tensor]:
    """Scale to median 0 and interquartile range 1, which outliers hardly affect.

    With quantiles of the training inputs, for each feature of vectors or channel of images (per=auto):

        x' = (x - median) / (q₇₅ - q₂₅)

    Features with q₂₅ = q₇₅ are only centred.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])
    >>> robust(x)(x)[:3].T
    tensor([[-1.0000, -0.5000,  0.0000]])
    """
    over = _shared_axes(train, per)
    low, median, high = np.quantile(train.numpy(), (0.25, 0.5, 0.75), axis=tuple(over), keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    centre, scale = (torch.as_tensor(a[0], dtype=train.dtype) for a in (median, span))
    scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
    return lambda x: (x - centre) / scale


MAX_FEATURES = 8192  # largest covariance matrix to decompose


@harness.transform(reference="Kessy, Lewin, Strimmer, Optimal whitening and decorrelation, 2018, arXiv:1512.00809")
def whiten(
    chunks: Chunks,
    *,
    method: Annotated[Literal["zca", "pca"], "zca: closest to the inputs; pca: along the principal components"] = "zca",
    epsilon: Annotated[float, Log(1e-8, 1e-1), Gt(0), "ε, added to each variance relative to the largest one"] = 1e-6,
) -> Callable[[Tensor], Tensor]:
    """Whiten to mean 0 and covariance I, over all features of the flattened inputs; the shape is kept.

    With the eigendecomposition U Λ Uᵀ of the training inputs' covariance (biased), its largest eigenvalue λ₁ and
    ε = `epsilon`:

        pca: x' = (x - μ) U (Λ + ε λ₁)^(-½)
        zca: x' = (x - μ) U (Λ + ε λ₁)^(-½) Uᵀ

    Directions without variance in training become 0.

    >>> x = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> z = whiten(lambda: iter([x]))(x)
    >>> (z.T @ z / 4).round(decimals=3).abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    count, mean = 0, torch.zeros(())
    for x in chunks():
        if not x.is_floating_point():
            raise HarnessError("the inputs are indices, not numbers to whiten: choose 'transform=[]'")
        width = x[0].numel()
        if width > MAX_FEATURES:
            raise HarnessError(
                f"transform whiten takes at most {MAX_FEATURES} features, got {width}: choose transform=[standardize]"
            )
        dtype, count, mean = x.dtype, count + len(x), mean + x.flatten(1).double().sum(0)
    mean = mean / count
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for x in chunks():
        off = x.flatten(1).double() - mean
        covariance.addmm_(off.T, off)
    values, vectors = torch.linalg.eigh(covariance / count)
    values, vectors = values.flip(0), vectors.flip(1)  # largest first, the usual order of components
    # variance below the rounding of the inputs counts as none
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
        tuple[Annotated[int, Ge(0)], ...], "indices of the features to encode; []: those with few values"
    ] = (),
    few: Annotated[int, Gt(1), "with columns=[]: encode features of integers with at most this many values"] = 20,
) -> Callable[[Tensor], Tensor]:
    """Encode categories as indicators.

    A feature of vectors `[D]` with values v₁ < v₂ < ... in training is replaced by ([x = v₁], [x = v₂], ...); values
    that training lacks become zeros. All features of integer inputs, such as word indices, are encoded, with an
    indicator for each integer from 0 to the largest in training.

    >>> x = torch.tensor([[0.5, 1.0], [0.2, 3.0]])
    >>> one_hot(lambda: iter([x]), columns=(1,))(x)
    tensor([[0.5000, 1.0000, 0.0000],
            [0.2000, 0.0000, 1.0000]])
    """
    seen: dict[int, Tensor] = {}  # {feature: its values}, without features of too many values
    for x in chunks():
        if x.ndim != 2:
            raise HarnessError(
                f"one_hot encodes the features of vectors, and samples here have shape {tuple(x.shape[1:])}"
            )
        indices, width = not x.is_floating_point(), x.shape[1]
        if any(column >= width for column in columns):
            raise HarnessError(f"transform.one_hot.columns={list(columns)}, and there are {width} features, from 0")
        for column in seen or columns or range(width):
            values = torch.cat([seen.get(column, x[:0, column]), x[:, column]]).unique()
            seen[column] = values[-1:] if indices else values
        if not indices and not columns:
            seen = {c: v for c, v in seen.items() if len(v) <= few and bool((v == v.round()).all())}
            if not seen:
                break
    categories = {c: torch.arange(int(v[-1]) + 1) if indices else v for c, v in seen.items()}

    def encode(x: Tensor) -> Tensor:
        dtype = x.dtype if x.is_floating_point() else torch.float32
        columns = ((x[:, i, None], categories.get(i)) for i in range(x.shape[1]))
        return torch.cat([(c if v is None else c == v).to(dtype) for c, v in columns], dim=1)

    return encode


@harness.transform
def flatten() -> Callable[[Tensor], Tensor]:
    """Flatten each sample into a vector: [N, ...] becomes [N, D].

    >>> flatten()(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 12])
    """
    return lambda x: x.flatten(1)


@harness.transform
def channels_first() -> Callable[[Tensor], Tensor]:
    """Move the channels of images to the front: [N, height, width, C] becomes [N, C, height, width].

    For data that stores channels last, as image files do; choose it before other transforms. Vectors are unchanged.

    >>> channels_first()(torch.zeros(2, 8, 6, 3)).shape
    torch.Size([2, 3, 8, 6])
    """

    def move(x: Tensor) -> Tensor:
        if x.ndim == 3:
            raise HarnessError(
                f"channels_first moves the channels of images [height, width, channels], and samples here have shape "
                f"{list(x.shape[1:])}"
            )
        return x.movedim(-1, 1).contiguous()

    return move
