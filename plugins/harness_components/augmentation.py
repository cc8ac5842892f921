"""Augmentations: change training batches, with `noise` as the only source of chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional as F

import harness
from harness.space import Integers


@harness.augmentation(input_ndim=(3,), reference="LeCun, Bottou, Bengio, Haffner, Gradient-based learning, 1998")
def random_shift(
    *, pixels: Annotated[int, Integers(1, 8), Ge(0)] = 1
) -> Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]:
    """Shifts each image by up to `pixels` in both directions; what moves in is zero.

    x'[c, i, j] = x[c, i + dy, j + dx], dx and dy uniform on -pixels .. pixels, drawn for each sample.
    """

    def shift(x: Tensor, y: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        by = noise.integers(0, 2 * pixels + 1, (len(x), 2))
        padded = F.pad(x, (pixels, pixels, pixels, pixels))
        rows = torch.arange(height, device=x.device) + by[:, :1]  # [N, H]
        columns = torch.arange(width, device=x.device) + by[:, 1:]  # [N, W]
        sample = torch.arange(len(x), device=x.device)[:, None, None]
        moved = padded.movedim(1, -1)[sample, rows[:, :, None], columns[:, None, :]]
        return moved.movedim(-1, 1), y

    return shift
