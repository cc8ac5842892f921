"""Pooling with channels in the last place of memory, where torch's kernels for the CPU are several times faster.

Values and gradients are the same, to the bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness._compat.torch import is_transformed

Size = int | tuple[int, ...]


class _Layout(torch.autograd.Function):
    """Copy images `[N, C, H, W]` to a memory format, and their gradients to another one.

    The backward kernels are slow if the gradient has another format than the images.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: torch.memory_format, gradient_layout: torch.memory_format) -> Tensor:
        ctx.layout = gradient_layout
        return x.contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0].contiguous(memory_format=ctx.layout), None, None


def _pooled(function: Callable[[Tensor], Any], x: Tensor) -> Any:
    if x.ndim != 4 or x.device.type != "cpu" or is_transformed(x):
        return function(x)
    images = _Layout.apply(x, torch.channels_last, torch.contiguous_format)
    return _Layout.apply(function(images), torch.contiguous_format, torch.channels_last)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Compute `torch.nn.functional.max_pool2d`."""
    sizes = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    pool = functools.partial(F.max_pool2d, **sizes, ceil_mode=ceil_mode, return_indices=return_indices)
    return pool(input) if return_indices else _pooled(pool, input)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Compute `torch.nn.functional.avg_pool2d`."""
    settings = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _pooled(lambda x: F.avg_pool2d(x, *settings), input)


POOLS: dict[Any, Callable[..., Any]] = {F.max_pool2d: max_pool2d, F.avg_pool2d: avg_pool2d}
