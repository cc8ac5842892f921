"""Convolutions of a stack as products of matrices, where the images are small: one product for all rows.

The windows of a batch are the rows of a matrix ("im2col"). torch's kernels would take the rows of the stack one by one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]
WINDOWS = 1 << 19  # numbers in the windows of a row, at most: those of larger images do not fit a cache


def as_pair(setting: Any) -> Pair | None:
    """Return a setting of a convolution in two dimensions as a pair; None if it is a text such as "same"."""
    if isinstance(setting, str):
        return None
    height, width = (setting, setting) if isinstance(setting, int) else setting * 2 if len(setting) == 1 else setting
    return int(height), int(width)


class Windows(torch.autograd.Function):
    """Return the windows of images `[K, N, C, H, W]` as `[K, N · Ho · Wo, kh · kw · C]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        padded = F.pad(x.permute(0, 1, 3, 4, 2), (0, 0, padding[1], padding[1], padding[0], padding[0]))
        ctx.settings = padded.shape, kernel, stride, padding, dilation
        rows, n, _, _, channels = padded.shape
        height, width = output_size(x.shape, kernel, stride, padding, dilation)
        windows = padded.new_empty(rows, n, height, width, *kernel, channels)
        for i, j in _places(kernel):
            windows[:, :, :, :, i, j] = _shifted(padded, i, j, height, width, stride, dilation)
        return windows.view(rows, n * height * width, -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        shape, kernel, stride, padding, dilation = ctx.settings
        rows, n, padded_height, padded_width, channels = shape
        height, width = (
            (side - d * (k - 1) - 1) // s + 1
            for side, k, s, d in zip((padded_height, padded_width), kernel, stride, dilation, strict=True)
        )
        windows = grads[0].reshape(rows, n, height, width, *kernel, channels)
        padded = windows.new_zeros(shape)
        for i, j in _places(kernel):
            _shifted(padded, i, j, height, width, stride, dilation).add_(windows[:, :, :, :, i, j])
        inner = padded[:, :, padding[0] : padded_height - padding[0], padding[1] : padded_width - padding[1]]
        return inner.permute(0, 1, 4, 2, 3), None, None, None, None


def _places(kernel: Pair) -> list[Pair]:
    return [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]


def _shifted(padded: Tensor, i: int, j: int, height: int, width: int, stride: Pair, dilation: Pair) -> Tensor:
    """Return the pixels at place (i, j) of each window, a view `[K, N, Ho, Wo, C]` of padded images."""
    first, left = i * dilation[0], j * dilation[1]
    return padded[:, :, first : first + stride[0] * height : stride[0], left : left + stride[1] * width : stride[1]]


def output_size(shape: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Return the height and width of the results for images `[K, N, C, H, W]`."""
    sides = zip(shape[-2:], kernel, stride, padding, dilation, strict=True)
    height, width = ((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in sides)
    return height, width
