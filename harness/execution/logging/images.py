"""Draw tensors as images: grids, heat maps, and matrices of counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Viridis at nine equidistant points (van der Walt and Smith, matplotlib 2.0, CC0), and a diverging scale.
_VIRIDIS = ((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128), (94, 201, 98),
            (173, 220, 48), (253, 231, 37))  # fmt: skip
_SIGNED = ((33, 102, 172), (146, 197, 222), (255, 255, 255), (244, 165, 130), (178, 24, 43))
# each digit has 3 by 5 pixels, row by row
_DIGITS = ("010101101101010", "010110010010111", "111001111100111", "111001111001111", "101101111001001",
           "111100111001111", "111100111101111", "111001010010010", "111101111101111", "111101111001111")  # fmt: skip
_HEIGHT, _STEP = 5, 4  # pixels: the height of a digit, and the distance to the next


def columns(count: int) -> int:
    """Return the number of columns of a square grid of `count` images."""
    return max(1, math.ceil(math.sqrt(count)))


def grid(images: Tensor) -> Tensor:
    """Arrange images row by row in a square grid, with one pixel between them.

    Args:
        images: Images, shape `[N, C, H, W]`. If C is neither 1 nor 3, the first channel is shown.

    Returns:
        The grid, shape `[1 or 3, H', W']`.

    >>> grid(torch.ones(3, 1, 2, 2))[0].int().tolist()
    [[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    """
    images = images if images.shape[1] in (1, 3) else images[:, :1]
    n, channels, height, width = images.shape
    per_row = columns(n)
    rows = math.ceil(n / per_row)
    cells = images.new_zeros(rows * per_row, channels, height + 1, width + 1)
    cells[:n, :, :height, :width] = images
    cells = cells.reshape(rows, per_row, channels, height + 1, width + 1).permute(2, 0, 3, 1, 4)
    return cells.reshape(channels, rows * (height + 1), per_row * (width + 1))[:, :-1, :-1]


def enlarged(image: Tensor, factor: int) -> Tensor:
    """Enlarge an image `[..., H, W]`: each pixel becomes a square of `factor` by `factor`."""
    return image.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def heat(values: Tensor, signed: bool = False) -> Tensor:
    """Map values to colours, from dark for the smallest to yellow for the largest; values that are not finite are grey.

    Args:
        values: Values, shape `[..., H, W]`.
        signed: Use a scale from blue for negative values over white at 0 to red.

    Returns:
        Colours in 0 .. 1, shape `[..., 3, H, W]`.

    >>> heat(torch.tensor([[0.0, 1.0]])).mul(255).round().int()[:, 0].tolist()
    [[68, 253], [1, 231], [84, 37]]
    """
    finite = torch.isfinite(values)
    numbers = values[finite].double()
    if signed:
        reach = numbers.abs().max() if numbers.numel() else torch.ones(())
        low, span = -reach, 2 * reach
    else:
        low, high = (numbers.min(), numbers.max()) if numbers.numel() else (torch.zeros(()), torch.ones(()))
        span = high - low
    scaled = ((values.double() - low) / span.clamp_min(1e-300)).nan_to_num(0.0).clamp(0, 1)
    scale = torch.tensor(_SIGNED if signed else _VIRIDIS, dtype=torch.float64) / 255
    position = scaled * (len(scale) - 1)
    below = position.floor().long().clamp_max(len(scale) - 2)
    fraction = (position - below)[..., None]
    colours = scale[below] * (1 - fraction) + scale[below + 1] * fraction
    colours[~finite] = 0.5
    return colours.movedim(-1, -3).float()


def matrix(counts: Tensor) -> Tensor:
    """Draw a matrix of counts with its numbers, and with the indices of rows and columns at the edges.

    Each row is coloured by its counts divided by their sum, so that rare classes can be read as well as frequent ones.

    Args:
        counts: Counts, shape `[R, C]`.

    Returns:
        Colours in 0 .. 1, shape `[3, H, W]`.
    """
    rows, width = counts.shape
    digits = max(len(str(int(n))) for n in (*counts.flatten().tolist(), rows - 1, width - 1))
    cell = max(_STEP * digits + 5, 13)
    fractions = counts.double() / counts.double().sum(1, keepdim=True).clamp_min(1)
    picture = torch.ones(3, (rows + 1) * cell, (width + 1) * cell)
    # the row of ones makes 1 the end of the scale
    picture[:, cell:, cell:] = enlarged(heat(torch.cat([fractions, torch.ones(1, width)]))[:, :-1], cell)
    for row in range(rows + 1):
        for column in range(width + 1):
            if row or column:
                edge = not (row and column)
                number = row + column - 1 if edge else int(counts[row - 1, column - 1])
                light = not edge and float(fractions[row - 1, column - 1]) < 0.6
                if edge or number:
                    _write(picture, str(number), row * cell, column * cell, cell, 1.0 if light else 0.0)
    return enlarged(picture, 2) if picture.shape[-1] < 300 else picture


def _write(picture: Tensor, text: str, top: int, left: int, cell: int, colour: float) -> None:
    top += (cell - _HEIGHT) // 2
    left += (cell - _STEP * len(text) + 1) // 2
    for index, digit in enumerate(text):
        for pixel, dot in enumerate(_DIGITS[int(digit)]):
            if dot == "1":
                picture[:, top + pixel // 3, left + index * _STEP + pixel % 3] = colour
