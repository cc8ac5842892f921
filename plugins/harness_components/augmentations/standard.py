"""Augmentations of training batches; `noise` is their only source of randomness."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor
from torch.nn import functional as F

import harness
from harness.space import Integers, Log, Uniform

Augmentation = Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]


@harness.augmentation(input_ndim=(3,), reference="LeCun, Bottou, Bengio, Haffner, Gradient-based learning, 1998")
def random_shift(
    *, pixels: Annotated[int, Integers(1, 8), Ge(0), "largest shift in each direction, in pixels"] = 1
) -> Augmentation:
    """Shift each image by up to `pixels` in both directions, filling with zeros.

    With dx and dy uniform in -pixels .. pixels, drawn for each sample:

        x'[c, i, j] = x[c, i + dy, j + dx]

    Inputs are images `[N, C, H, W]`.
    """

    def shift(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        by = noise.integers(0, 2 * pixels + 1, (len(x), 2))
        padded = F.pad(x, (pixels, pixels, pixels, pixels))
        rows = torch.arange(height, device=x.device) + by[:, :1]  # [N, H]
        columns = torch.arange(width, device=x.device) + by[:, 1:]  # [N, W]
        sample = torch.arange(len(x), device=x.device)[:, None, None]
        shifted = padded.movedim(1, -1)[sample, rows[:, :, None], columns[:, None, :]]
        return shifted.movedim(-1, 1), y

    return shift


@harness.augmentation(reference="Bishop, Training with noise is equivalent to Tikhonov regularization, 1995")
def input_noise(
    *, std: Annotated[float, Log(1e-3, 1.0), Ge(0), "standard deviation, in units of the transformed inputs"] = 0.1
) -> Augmentation:
    """Gaussian noise on the inputs.

    With ε ~ N(0, 1) for each element:

        x' = x + std · ε

    Inputs are real, `[N, ...]`.
    """

    def add(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        return x + std * noise.normal(x.shape, x.dtype), y

    return add


@harness.augmentation(
    reference="Srivastava et al., Dropout, JMLR 2014, section 4; deletion at the test: Globerson, Roweis, Nightmare at "
    "test time: robust learning by feature deletion, ICML 2006"
)
def input_dropout(
    *, p: Annotated[float, Uniform(0.05, 0.5), Interval(ge=0, lt=1), "probability that an input is dropped"] = 0.2
) -> Augmentation:
    """Dropout of the inputs: set each number to zero at random, and scale the others.

        x' = x · m / (1 - p),  m ~ Bernoulli(1 - p) for each element

    Zero is the mean of standardized inputs. Inputs are real, `[N, ...]`.
    """

    def drop(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        return x.masked_fill(noise.bernoulli(x.shape, p), 0) / (1 - p), y

    return drop


@harness.augmentation(input_ndim=(3,), reference="Krizhevsky, Sutskever, Hinton, ImageNet classification, NeurIPS 2012")
def flip(
    *,
    p: Annotated[float, Uniform(0.0, 0.5), Interval(ge=0, le=1), "probability of a flip"] = 0.5,
    direction: Annotated[Literal["horizontal", "vertical", "both"], "both: independently of each other"] = "horizontal",
) -> Augmentation:
    """Flip each image with probability p, left to right or top to bottom.

        horizontal: x'[c, i, j] = x[c, i, W - 1 - j]
        vertical:   x'[c, i, j] = x[c, H - 1 - i, j]

    Inputs are images `[N, C, H, W]`. Not for images whose class depends on their orientation, such as digits.
    """
    axes = {"horizontal": (-1,), "vertical": (-2,), "both": (-1, -2)}[direction]

    def mirror(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        for axis in axes:
            x = torch.where(noise.bernoulli((len(x), 1, 1, 1), p), x.flip(axis), x)
        return x, y

    return mirror


@harness.augmentation(
    input_ndim=(3,), reference="Simard, Steinkraus, Platt, Best practices for convolutional neural networks, ICDAR 2003"
)
def rotation(
    *, degrees: Annotated[float, Uniform(1.0, 45.0), Interval(ge=0, le=180), "largest angle, in degrees"] = 10.0
) -> Augmentation:
    """Rotate each image about its centre by up to `degrees` either way, filling with zeros.

    With θ uniform in -degrees .. degrees, counter-clockwise, drawn for each sample, and q a pixel's position relative
    to the centre:

        x'(q) = x(R(-θ) q), bilinear between pixels

    Inputs are images `[N, C, H, W]`.
    """

    def turn(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        angle = (2 * noise.uniform((len(x), 1, 1), x.dtype) - 1) * math.radians(degrees)
        cos, sin = angle.cos(), angle.sin()
        down = (torch.arange(height, device=x.device, dtype=x.dtype) - (height - 1) / 2)[:, None]
        right = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
        # grid_sample's units: -1 and 1 are the image's edges, half a pixel outside of the outermost centres
        grid = torch.stack([(cos * right - sin * down) * 2 / width, (sin * right + cos * down) * 2 / height], dim=-1)
        return F.grid_sample(x, grid, align_corners=False), y

    return turn


@harness.augmentation(
    input_ndim=(3,), reference="DeVries, Taylor, Improved regularization of CNNs with cutout, 2017, arXiv:1708.04552"
)
def cutout(*, size: Annotated[int, Integers(1, 16), Ge(1), "side of the square, in pixels"] = 3) -> Augmentation:
    """Cutout: set a random square of each image to zero, in all channels.

    The centre is uniform over the pixels, so that part of the square may lie outside. Inputs are images `[N, C, H, W]`.
    """

    def cut(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        return x.masked_fill(box(noise, x, size, size), 0), y

    return cut


def box(noise: Any, x: Tensor, high: int | Tensor, wide: int | Tensor) -> Tensor:
    """Return a mask [N, 1, H, W] of boxes with these sides ([N] or a number) and centres uniform over the pixels."""
    inside = []
    for axis, side in ((-2, high), (-1, wide)):
        length = x.shape[axis]
        first = noise.integers(0, length, (len(x),)) - side // 2
        place = torch.arange(length, device=x.device) - first[:, None]
        inside.append((place >= 0) & (place < (side[:, None] if isinstance(side, Tensor) else side)))
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]
