"""The matrix products of a stack, by the library that is fast on the processor, see `harness.system.blas`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.system import blas
from harness.training.vectorized.bitwise import aligned, empty_rows

# An operation of torch, so that recorded steps contain it.
_OPERATIONS = torch.library.Library("harness", "DEF")
_OPERATIONS.define("product(Tensor a, Tensor b) -> Tensor")
_OPERATIONS.define("product.out(Tensor a, Tensor b, *, Tensor(a!) out) -> Tensor(a!)")


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """Compute `torch.bmm(a, b)`."""
    return _product(a, b) if _is_by_numpy(a) else torch.bmm(a, b)


def baddbmm(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Compute `torch.baddbmm(bias, a, b)`."""
    return _product(a, b).add_(bias) if _is_by_numpy(a) else torch.baddbmm(bias, a, b)


def _is_by_numpy(t: Tensor) -> bool:
    return blas.product_library() == "numpy" and t.device.type == "cpu" and t.dtype in (torch.float32, torch.float64)


def _product(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.ops.harness.product(a, b)
    return product


def _compute(a: Tensor, b: Tensor) -> Tensor:
    return _compute_into(a, b, out=empty_rows(a.shape[0], a.shape[1], b.shape[2], a))


def _compute_into(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    if not out.numel():
        out.resize_(a.shape[0], a.shape[1], b.shape[2])
    with np.errstate(all="ignore"):  # torch does not warn of numbers that are not finite
        np.matmul(_array(a), _array(b), out=out.detach().numpy())
    return out


def _array(t: Tensor) -> Any:
    return aligned(t.detach()).numpy()


_OPERATIONS.impl("product", _compute, "CPU")
_OPERATIONS.impl("product.out", _compute_into, "CPU")
