"""Diagnostics of the noise in mini-batch gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor
from torch.func import grad, vmap

import harness
from harness import Diagnostic, Every
from harness_components.diagnostics.curvature import added, dot

Named = Mapping[str, Tensor]
Loss = Callable[..., Tensor]
TOGETHER = 8  # gradients that are held at a time


def moments(loss: Loss, params: Named, x: Tensor, y: Tensor, size: int) -> tuple[dict[str, Tensor], Tensor, int]:
    """Of the gradients g_i of batches of a size that divide some samples: their mean, the mean of |g_i|², their number.

    Each batch has noise of its own.
    """
    count = len(y) // size
    xs, ys = (t[: count * size].unflatten(0, (count, size)) for t in (x, y))
    draws = torch.arange(count, device=y.device)

    def square(x: Tensor, y: Tensor, draw: Tensor) -> Tensor:
        found = grad(loss)(dict(params), x, y, draw)
        return dot(found, found)

    def whole(params: Named) -> Tensor:
        return vmap(functools.partial(loss, params))(xs, ys, draws).mean()

    squares = vmap(square, chunk_size=min(TOGETHER, count))(xs, ys, draws)
    return grad(whole)(dict(params)), squares.mean(), count


def _noise(
    params: Named,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    batch_size: int,
    each: int,
    *,
    sizes: tuple[int, ...],
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for size in sorted({size * each for size in sizes if 2 * size * each <= len(y)}):
        mean, squares, count = moments(loss, params, x, y, size)
        full = grad(loss)(dict(params), x[: count * size], y[: count * size])
        square = dot(full, full).clamp_min(1e-30)
        apart = added(mean, -1.0, full)
        signal = dot(mean, mean)
        variance = (squares - signal) * (count / (count - 1))
        found[f"variance/{size}"] = variance / square
        found[f"bias/{size}"] = (dot(apart, apart) / square).sqrt()
        if "scale" not in found:  # by the most batches
            left = signal - variance / count
            found["scale"] = torch.where(left > 0, size * variance / left.clamp_min(1e-30), torch.inf)
            found["over_batch"] = found["scale"] / batch_size
    return found


@harness.diagnostic(
    reference="McCandlish, Kaplan, Amodei, An empirical model of large-batch training, 2018, arXiv:1812.06162, "
    "appendix A.1"
)
def gradient_noise(
    *,
    every: Every = 0,
    sizes: Annotated[tuple[int, ...], MinLen(1), "of the batches into which the probe samples are divided"] = (
        2,
        8,
        32,
    ),
) -> Diagnostic:
    """The gradient noise scale, and by batch size the variance and the bias of mini-batch gradients.

    Of n probe samples in n / B batches with gradients g_i, their mean ḡ, and the gradient g of all at once:
    `variance/B` = s² / |g|² with s² = Σ |g_i - ḡ|² / (n / B - 1); `bias/B` = |ḡ - g| / |g|, which is rounding unless
    the samples of a batch act on each other, as under batch normalization, or noise is drawn; and `scale` =
    B s² / (|ḡ|² - s² B / n), from the smallest batches: about the batch size up to which a larger one pays, ∞ where
    the gradient is lost in its noise. `over_batch` is the scale over the run's batch size. Batches of one cannot be
    normalized.
    """
    return Diagnostic(functools.partial(_noise, sizes=sizes), every)
