"""Diagnostics of the loss around a trained network, measured once at the end of a run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

import harness
from harness import Diagnostic, Image
from harness.space import Integers
from harness_components.diagnostics.curvature import add_scaled, random_vector, shaped

Named = Mapping[str, Tensor]
EDGE = 128  # smallest length of a picture's longer side, in pixels


def enlarged(pixels: Tensor) -> Tensor:
    """Enlarge a small picture [C, H, W] by an integer factor until it can be seen."""
    times = max(1, EDGE // max(pixels.shape[1:]))
    return pixels.repeat_interleave(times, 1).repeat_interleave(times, 2)


def direction(params: Named, number: int) -> dict[str, Tensor]:
    """Draw a random direction with the filter norms of the parameters, and zeros for biases and scales.

    If all parameters are vectors, each of them is a filter.
    """
    vectors = all(p.ndim < 2 for p in params.values())
    scaled = {}
    for name, d in shaped(random_vector(params, number), params).items():
        p = params[name]
        if p.ndim < 2 and not vectors:
            scaled[name] = torch.zeros_like(p)
            continue
        rows, filters = (t.reshape(1 if p.ndim < 2 else len(t), -1) for t in (d, p))
        ratio = torch.linalg.vector_norm(filters, dim=1) / torch.linalg.vector_norm(rows, dim=1).clamp_min(1e-30)
        scaled[name] = (rows * ratio[:, None]).view(p.shape)
    return scaled


def surface(params: Named, loss: Callable[..., Tensor], points: int, radius: float) -> Tensor:
    """Return L(w + a d + b e) [points, points], for a (down) and b (across) from -radius to radius."""
    d, e = direction(params, 1), direction(params, 2)
    places = torch.linspace(-radius, radius, points).tolist()
    rows = [add_scaled(params, a, d) for a in places]
    return torch.stack([torch.stack([loss(add_scaled(row, b, e)) for b in places]) for row in rows])


def bands(heights: Tensor, count: int = 24) -> Tensor:
    """Draw heights [H, W] as a picture of `count` greys on a logarithmic scale: dark is low, white is not finite."""
    known = heights[heights.isfinite()]
    if not known.numel():
        return torch.ones_like(heights)[None]
    low, high = known.amin(), known.amax()
    t = (heights.nan_to_num(torch.inf).clamp_max(high) - low) / (high - low).clamp_min(1e-30)
    level = torch.log1p(99 * t) / torch.log(torch.tensor(100.0))
    return torch.where(heights.isfinite(), (level * count).floor().clamp_max(count - 1) / (count - 1), 1.0)[None]


def _loss_slice(params: Named, loss: Callable[..., Tensor], *, points: int, radius: float) -> dict[str, Any]:
    points += 1 - points % 2  # odd, to include the centre
    heights = surface(params, loss, points, radius)
    known = torch.where(heights.isfinite(), heights, torch.nan)
    return {
        "picture": Image(enlarged(bands(heights))),
        "centre": heights[points // 2, points // 2],
        "lowest": known.nan_to_num(torch.inf).amin(),
        "highest": known.nan_to_num(-torch.inf).amax(),
    }


@harness.diagnostic(
    reference="Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018, arXiv:1712.09913"
)
def loss_slice(
    *,
    points: Annotated[int, Integers(9, 25), Ge(3), "points on a side, rounded up to an odd number"] = 15,
    radius: Annotated[float, Gt(0), "half the side of the square, in norms of the weights"] = 1.0,
) -> Diagnostic:
    """Training loss over a plane through the trained weights, along two random directions.

        L(w + a d + b e),  a, b in [-radius, radius]

    Each filter of d and e (a row of a matrix) has the norm of the filter of w, so that slices of different networks can
    be compared; biases and scales are fixed. Dark is low, on a logarithmic scale from the lowest to the highest point;
    borders between greys are contour lines.
    """
    return Diagnostic(functools.partial(_loss_slice, points=points, radius=radius), once=True)
