"""Draw numbers as images: grids, heat maps, confusion matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Viridis at equal distances (van der Walt and Smith, matplotlib 2.0, CC0), and a scale that is white at zero.
_VIRIDIS = ((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128), (94, 201, 98),
            (173, 220, 48), (253, 231, 37))  # fmt: skip
_SIGNED = ((33, 102, 172), (146, 197, 222), (255, 255, 255), (244, 165, 130), (178, 24, 43))
# 3 by 5 pixels a digit, row by row
_DIGITS = ("010101101101010", "010110010010111", "111001111100111", "111001111001111", "101101111001001",
           "111100111001111", "111100111101111", "111001010010010", "111101111101111", "111101111001111")  # fmt: skip
_HEIGHT, _STEP = 5, 4  # of a digit, and from one to the next


def columns(count: int) -> int:
    """Return the number of columns of a square of so many images."""
    return max(1, math.ceil(math.sqrt(count)))


def grid(images: Tensor) -> Tensor:
    """Arrange images `[N, C, H, W]` in a square, row by row, one pixel apart: one image `[C', H', W']`.

    If C is neither 1 nor 3, the first channel is shown.

    >>> grid(torch.ones(3, 1, 2, 2))[0].int().tolist()
    [[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    """
    images = images if images.shape[1] in (1, 3) else images[:, :1]
    n, channels, height, width = images.shape
    across = columns(n)
    rows = math.ceil(n / across)
    cells = images.new_zeros(rows * across, channels, height + 1, width + 1)
    cells[:n, :, :height, :width] = images
    cells = cells.reshape(rows, across, channels, height + 1, width + 1).permute(2, 0, 3, 1, 4)
    return cells.reshape(channels, rows * (height + 1), across * (width + 1))[:, :-1, :-1]


def enlarged(image: Tensor, factor: int) -> Tensor:
    """Enlarge an image `[..., H, W]`: each pixel becomes a square of `factor` by `factor`."""
    return image.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def heat(values: Tensor, signed: bool = False) -> Tensor:
    """Convert values `[..., H, W]` to colours `[..., 3, H, W]`.

    The least value is dark and the largest yellow. With `signed`, colours go from blue over white at 0 to red. Values
    that are not finite are grey.

    >>> heat(torch.tensor([[0.0, 1.0]])).mul(255).round().int()[:, 0].tolist()
    [[68, 253], [1, 231], [84, 37]]
    """
    finite = torch.isfinite(values)
    known = values[finite].double()
    if signed:
        reach = known.abs().max() if known.numel() else torch.ones(())
        low, span = -reach, 2 * reach
    else:
        low, high = (known.min(), known.max()) if known.numel() else (torch.zeros(()), torch.ones(()))
        span = high - low
    shares = ((values.double() - low) / span.clamp_min(1e-300)).nan_to_num(0.0).clamp(0, 1)
    scale = torch.tensor(_SIGNED if signed else _VIRIDIS, dtype=torch.float64) / 255
    place = shares * (len(scale) - 1)
    below = place.floor().long().clamp_max(len(scale) - 2)
    part = (place - below)[..., None]
    colours = scale[below] * (1 - part) + scale[below + 1] * part
    colours[~finite] = 0.5
    return colours.movedim(-1, -3).float()


def matrix(counts: Tensor) -> Tensor:
    """Draw counts `[R, C]` as an image `[3, H, W]` of coloured cells with numbers.

    Colours are shares of the sum of a row, so that rare classes are visible. Indices are at the edges.
    """
    rows, across = counts.shape
    digits = max(len(str(int(n))) for n in (*counts.flatten().tolist(), rows - 1, across - 1))
    cell = max(_STEP * digits + 5, 13)
    shares = counts.double() / counts.double().sum(1, keepdim=True).clamp_min(1)
    picture = torch.ones(3, (rows + 1) * cell, (across + 1) * cell)
    picture[:, cell:, cell:] = enlarged(heat(torch.cat([shares, torch.ones(1, across)]))[:, :-1], cell)
    for row in range(rows + 1):
        for column in range(across + 1):
            if row or column:
                edge = not (row and column)
                number = row + column - 1 if edge else int(counts[row - 1, column - 1])
                light = not edge and float(shares[row - 1, column - 1]) < 0.6
                if edge or number:
                    _write(picture, str(number), row * cell, column * cell, cell, 1.0 if light else 0.0)
    return enlarged(picture, 2) if picture.shape[-1] < 300 else picture


def _write(picture: Tensor, text: str, top: int, left: int, cell: int, colour: float) -> None:
    top += (cell - _HEIGHT) // 2
    left += (cell - _STEP * len(text) + 1) // 2
    for index, digit in enumerate(text):
        for place, dot in enumerate(_DIGITS[int(digit)]):
            if dot == "1":
                picture[:, top + place // 3, left + index * _STEP + place % 3] = colour
