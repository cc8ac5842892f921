"""Make the bits of a run in a stack independent of the runs that are stacked with it, on a CPU.

Two effects change bits. A batched matrix product of MKL takes other code paths for matrices that start elsewhere in a
cache line. An element-wise kernel computes its last elements, those that do not fill a vector register, by another
formula than the others. Matrices are therefore aligned to cache lines where their size does not ensure it, and a stack
ends with padding rows where an element-wise kernel could otherwise end within a run's row.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import TorchDispatchMode

LINE = 64  # bytes of a cache line
VECTOR = 32  # the most elements that an element-wise kernel processes at a time (AVX-512, unrolled twice)
_BMM = torch.ops.aten.bmm.default
_BADDBMM = torch.ops.aten.baddbmm.default
# Operations that are correctly rounded by IEEE 754, choose among their inputs, or have one formula for full and partial
# vectors (tests/training/vectorized/test_bitwise.py asks torch): the position of an element does not change its bits.
_ROUNDED = {
    "_to_copy", "abs", "add", "add_", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "clamp",
    "clamp_max", "clamp_min", "clone", "copy", "copy_", "detach", "div", "div_", "eq", "exp", "fill", "fill_", "ge",
    "gt", "le", "log", "logical_and", "logical_not", "logical_or", "lt", "masked_fill", "maximum", "minimum", "mul",
    "mul_", "ne", "neg", "ones_like", "relu", "round", "sign", "sqrt", "sub", "sub_", "tanh", "tanh_backward",
    "threshold_backward", "where", "zeros_like",
}  # fmt: skip


def _starts_cache_lines(t: Tensor) -> bool:
    return t.stride(0) * t.element_size() % LINE == 0 and t.data_ptr() % LINE == 0


def empty_rows(rows: int, n: int, m: int, like: Tensor) -> Tensor:
    """Return uninitialized matrices `[rows, n, m]`, each of which starts a cache line."""
    per_line = LINE // like.element_size()
    each = -(-n * m // per_line) * per_line
    return like.new_empty(rows, each)[:, : n * m].view(rows, n, m)


def aligned(t: Tensor) -> Tensor:
    """Return the matrices `[K, n, m]`, copied if needed so that each starts a cache line."""
    row_major = t.stride(2) == 1 and t.stride(1) >= t.shape[2]
    column_major = t.stride(1) == 1 and t.stride(2) >= t.shape[1]
    if (row_major or column_major) and _starts_cache_lines(t):
        return t
    rows, n, m = t.shape
    copy = empty_rows(rows, m, n, t).mT if column_major and not row_major else empty_rows(rows, n, m, t)
    return copy.copy_(t)


def aligned_bmm(a: Tensor, b: Tensor) -> Tensor:
    """Compute `torch.bmm(a, b)` with operands and result aligned to cache lines."""
    return torch.bmm(aligned(a), aligned(b), out=empty_rows(a.shape[0], a.shape[1], b.shape[2], a))


class BitwiseProducts(TorchDispatchMode):
    """Context in which the operands of batched matrix products are aligned to cache lines.

    Attributes:
        stack_rows: Rows of the stack.
        realigned: True if the operands of a product had to be aligned.
        padding: Padding rows that the element-wise kernels need at the end of the stack.
    """

    def __init__(self, stack_rows: int) -> None:
        super().__init__()
        self.stack_rows, self.realigned, self.padding = stack_rows, False, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (_BMM, _BADDBMM) and args[0].device.type == "cpu":
            a, b = args[-2:]
            result_aligned = a.shape[1] * b.shape[2] * a.element_size() % LINE == 0
            if result_aligned and _starts_cache_lines(a) and _starts_cache_lines(b):
                return func(*args, **kwargs)
            self.realigned = True
            product = aligned_bmm(a, b)
            if func is _BMM:
                return product
            return args[0] * kwargs.get("beta", 1) + product * kwargs.get("alpha", 1)
        result = func(*args, **kwargs)
        rounded = func.overloadpacket.__name__ in _ROUNDED and kwargs.get("alpha", 1) == 1
        if torch.Tag.pointwise in func.tags and not rounded:
            self._require_padding(result)
        return result

    def _require_padding(self, result: Any) -> None:
        for t in result if isinstance(result, (tuple, list)) else (result,):
            if not isinstance(t, Tensor) or not t.is_floating_point() or t.device.type != "cpu" or not t.numel():
                continue
            each = max(1, t.numel() // self.stack_rows)
            if each % VECTOR:
                self.padding = max(self.padding, math.ceil((VECTOR - 1) / each))
