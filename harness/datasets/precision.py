"""Choose the precision of inputs: exact as they are read, and that of the run once they are scaled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.system.errors import HarnessError

CHUNK = 1 << 16  # numbers to compare at a time


def exact(values: Any) -> Tensor:
    """Convert real numbers to a tensor without rounding: float32 if possible, else float64.

    >>> exact([0.5, 16777216]).dtype, exact([1700000010.0]).dtype
    (torch.float32, torch.float64)
    """
    array = np.require(values, requirements=["C", "W"])
    if holding(array.dtype) is np.float32:
        return torch.as_tensor(array.astype(np.float32, copy=False))
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    flat, small = array.reshape(-1), narrow.reshape(-1)
    if all(np.array_equal(small[at : at + CHUNK], flat[at : at + CHUNK]) for at in range(0, len(flat), CHUNK)):
        return torch.as_tensor(narrow)
    return torch.as_tensor(array.astype(np.float64, copy=False))


def holding(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """Return the float type that holds every number of a type exactly.

    >>> holding(np.dtype("int32")).__name__, holding(np.dtype("uint8")).__name__
    ('float64', 'float32')
    """
    narrow = dtype.kind == "b" or dtype.itemsize <= 2 or dtype == np.float32
    return np.float32 if narrow else np.float64


def of_run(trainer: Mapping[str, Any]) -> torch.dtype:
    """Return the precision of the inputs: float64 for trainer.precision=64-true, else float32."""
    return torch.float64 if str(trainer.get("precision")) in ("64-true", "64") else torch.float32


def cast(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return a transform that rounds real inputs. It raises HarnessError for numbers beyond the range."""

    def rounded(x: Tensor) -> Tensor:
        if not x.is_floating_point() or x.dtype == dtype:
            return x
        result = x.to(dtype)
        if not bool(torch.isfinite(result.sum())) and not bool(torch.isfinite(result).all()):
            raise HarnessError(
                f"inputs of up to {x.abs().max():.3g} exceed the range of {str(dtype).removeprefix('torch.')}: "
                "scale them ('transform=[standardize]'), or set trainer.precision=64-true"
            )
        return result

    return rounded
