"""What the loss looks like around a trained network: measured once, when a run has ended."""

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
from harness_components.diagnostics.curvature import added, drawn, shaped

Named = Mapping[str, Tensor]
EDGE = 128  # pixels of a small picture's longer side, at least


def enlarged(pixels: Tensor) -> Tensor:
    """A picture [C, H, W] whose every pixel is a square of as many as make it large enough to be seen."""
    times = max(1, EDGE // max(pixels.shape[1:]))
    return pixels.repeat_interleave(times, 1).repeat_interleave(times, 2)


def direction(params: Named, number: int) -> dict[str, Tensor]:
    """A random direction whose every filter is as long as the filter of the parameters; none in biases and scales. Of
    parameters that are all vectors, each is a filter.
    """
    vectors = all(p.ndim < 2 for p in params.values())
    found = {}
    for name, d in shaped(drawn(params, number), params).items():
        p = params[name]
        if p.ndim < 2 and not vectors:
            found[name] = torch.zeros_like(p)
            continue
        rows, own = (t.reshape(1 if p.ndim < 2 else len(t), -1) for t in (d, p))
        ratio = torch.linalg.vector_norm(own, dim=1) / torch.linalg.vector_norm(rows, dim=1).clamp_min(1e-30)
        found[name] = (rows * ratio[:, None]).view(p.shape)
    return found


def surface(params: Named, loss: Callable[..., Tensor], points: int, radius: float) -> Tensor:
    """L(w + a d + b e) [points, points] for a (down) and b (across) from -radius to radius."""
    d, e = direction(params, 1), direction(params, 2)
    places = torch.linspace(-radius, radius, points).tolist()
    return torch.stack([torch.stack([loss(added(added(params, a, d), b, e)) for b in places]) for a in places])


def bands(heights: Tensor, count: int = 24) -> Tensor:
    """Heights [H, W] as a picture of so many greys, dark where it is low, on a logarithmic scale: their borders are
    lines of equal height. White where they are not finite.
    """
    known = heights[heights.isfinite()]
    if not known.numel():
        return torch.ones_like(heights)[None]
    low, high = known.amin(), known.amax()
    t = (heights.nan_to_num(torch.inf).clamp_max(high) - low) / (high - low).clamp_min(1e-30)
    level = torch.log1p(99 * t) / torch.log(torch.tensor(100.0))
    return torch.where(heights.isfinite(), (level * count).floor().clamp_max(count - 1) / (count - 1), 1.0)[None]


def _loss_slice(params: Named, loss: Callable[..., Tensor], *, points: int, radius: float) -> dict[str, Any]:
    points += 1 - points % 2  # with the centre
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
    points: Annotated[int, Integers(9, 25), Ge(3), "on a side, made odd: the middle is the model itself"] = 15,
    radius: Annotated[float, Gt(0), "how far it goes, in lengths of the weights"] = 1.0,
) -> Diagnostic:
    """The training loss over a plane through the trained weights, along two random directions.

    L(w + a d + b e), a and b from -radius to radius: each filter of d and e (a row of a matrix) is as long as that of
    w, so that slices of different networks can be compared; biases and scales stay. Dark is low, on a logarithmic scale
    from the lowest to the highest point; the borders of greys are lines of equal loss.
    """
    return Diagnostic(functools.partial(_loss_slice, points=points, radius=radius), once=True)
