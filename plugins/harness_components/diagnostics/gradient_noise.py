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
from harness_components.diagnostics.curvature import add_scaled, dot

Named = Mapping[str, Tensor]
Loss = Callable[..., Tensor]
CHUNK = 8  # gradients in memory at a time


def moments(loss: Loss, params: Named, x: Tensor, y: Tensor, size: int) -> tuple[dict[str, Tensor], Tensor, int]:
    """Return the mean of the gradients g_i of all batches of a size, the mean of |g_i|², and the number of batches.

    Each batch has its own noise.
    """
    count = len(y) // size
    xs, ys = (t[: count * size].unflatten(0, (count, size)) for t in (x, y))
    draws = torch.arange(count, device=y.device)

    def square(x: Tensor, y: Tensor, draw: Tensor) -> Tensor:
        gradient = grad(loss)(dict(params), x, y, draw)
        return dot(gradient, gradient)

    def whole(params: Named) -> Tensor:
        return vmap(functools.partial(loss, params))(xs, ys, draws).mean()

    squares = vmap(square, chunk_size=min(CHUNK, count))(xs, ys, draws)
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
    scalars: dict[str, Tensor] = {}
    for size in sorted({size * each for size in sizes if 2 * size * each <= len(y)}):
        mean, squares, count = moments(loss, params, x, y, size)
        full = grad(loss)(dict(params), x[: count * size], y[: count * size])
        square = dot(full, full).clamp_min(1e-30)
        difference = add_scaled(mean, -1.0, full)
        signal = dot(mean, mean)
        variance = (squares - signal) * (count / (count - 1))
        scalars[f"variance/{size}"] = variance / square
        scalars[f"bias/{size}"] = (dot(difference, difference) / square).sqrt()
        if "scale" not in scalars:  # from the smallest size, which has the most batches
            corrected = signal - variance / count
            scalars["scale"] = torch.where(corrected > 0, size * variance / corrected.clamp_min(1e-30), torch.inf)
            scalars["over_batch"] = scalars["scale"] / batch_size
    return scalars


@harness.diagnostic(
    reference="McCandlish, Kaplan, Amodei, An empirical model of large-batch training, 2018, arXiv:1812.06162, "
    "appendix A.1"
)
def gradient_noise(
    *,
    every: Every = 0,
    sizes: Annotated[tuple[int, ...], MinLen(1), "batch sizes B to split the probe samples into"] = (
        2,
        8,
        32,
    ),
) -> Diagnostic:
    """Gradient noise scale, and variance and bias of mini-batch gradients for several batch sizes.

    With n probe samples in n / B batches of gradients g_i, their mean ḡ, and g the gradient of all samples at once:

        s² = Σ |g_i - ḡ|² / (n / B - 1)
        variance/B = s² / |g|²
        bias/B = |ḡ - g| / |g|
        scale = B s² / (|ḡ|² - s² B / n), from the smallest B
        over_batch = scale / batch_size

    The scale is about the batch size beyond which larger batches stop paying off, ∞ if the gradient is lost in noise.
    The bias is rounding unless the samples of a batch interact, as in batch normalization, or noise is drawn. Batches
    of one cannot be normalized.
    """
    return Diagnostic(functools.partial(_noise, sizes=sizes), every)
