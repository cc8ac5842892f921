"""What makes a member's bits independent of who trains beside it, on a CPU.

Two things move them. A batched matrix product of MKL takes other paths for matrices that begin elsewhere in a cache
line; and an element-wise kernel computes its last elements, those that do not fill a vector, by another formula than
the others. So matrices are laid on cache lines where their size does not already do it, and the last rows of a stack
are a member that no one looks at, where an element-wise operation could end inside a member.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import TorchDispatchMode

LINE = 64  # bytes of a cache line
VECTOR = 32  # elements that an element-wise kernel takes at a time, at most (AVX-512, unrolled twice)
_BMM = torch.ops.aten.bmm.default
_BADDBMM = torch.ops.aten.baddbmm.default
# Correctly rounded by IEEE 754, a choice among inputs, or one formula for whole and part vectors alike (tests/learner/
# test_exact.py asks torch): the same bits wherever an element stands.
_ROUNDED = {
    "_to_copy", "abs", "add", "add_", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "clamp",
    "clamp_max", "clamp_min", "clone", "copy", "copy_", "detach", "div", "div_", "eq", "exp", "fill", "fill_", "ge",
    "gt", "le", "log", "logical_and", "logical_not", "logical_or", "lt", "masked_fill", "maximum", "minimum", "mul",
    "mul_", "ne", "neg", "ones_like", "relu", "round", "sign", "sqrt", "sub", "sub_", "tanh", "tanh_backward",
    "threshold_backward", "where", "zeros_like",
}  # fmt: skip


def _starts_lines(t: Tensor) -> bool:
    return t.stride(0) * t.element_size() % LINE == 0 and t.data_ptr() % LINE == 0


def _empty(rows: int, n: int, m: int, like: Tensor) -> Tensor:
    per_line = LINE // like.element_size()
    each = -(-n * m // per_line) * per_line
    return like.new_empty(rows, each)[:, : n * m].view(rows, n, m)


def _on_lines(t: Tensor) -> Tensor:
    """The same matrices [K, n, m], each beginning a cache line."""
    plain = t.stride(2) == 1 and t.stride(1) >= t.shape[2]
    turned = t.stride(1) == 1 and t.stride(2) >= t.shape[1]
    if (plain or turned) and _starts_lines(t):
        return t
    rows, n, m = t.shape
    room = _empty(rows, m, n, t).mT if turned and not plain else _empty(rows, n, m, t)
    return room.copy_(t)


def aligned_bmm(a: Tensor, b: Tensor) -> Tensor:
    """torch.bmm with operands and result on cache lines."""
    return torch.bmm(_on_lines(a), _on_lines(b), out=_empty(a.shape[0], a.shape[1], b.shape[2], a))


class BitwiseProducts(TorchDispatchMode):
    """Inside, matrix products are laid on cache lines. `acted` tells whether any had to be; `rows` how many rows at
    the end of the stack element-wise kernels need for themselves.
    """

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members, self.acted, self.rows = members, False, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (_BMM, _BADDBMM) and args[0].device.type == "cpu":
            a, b = args[-2:]
            lined = a.shape[1] * b.shape[2] * a.element_size() % LINE == 0
            if lined and _starts_lines(a) and _starts_lines(b):
                return func(*args, **kwargs)
            self.acted = True
            product = aligned_bmm(a, b)
            if func is _BMM:
                return product
            return args[0] * kwargs.get("beta", 1) + product * kwargs.get("alpha", 1)
        result = func(*args, **kwargs)
        rounded = func.overloadpacket.__name__ in _ROUNDED and kwargs.get("alpha", 1) == 1
        if torch.Tag.pointwise in func.tags and not rounded:
            self._notice(result)
        return result

    def _notice(self, result: Any) -> None:
        for t in result if isinstance(result, (tuple, list)) else (result,):
            if not isinstance(t, Tensor) or not t.is_floating_point() or t.device.type != "cpu" or not t.numel():
                continue
            each = max(1, t.numel() // self.members)
            if each % VECTOR:
                self.rows = max(self.rows, math.ceil((VECTOR - 1) / each))
