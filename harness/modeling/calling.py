"""A model as a task calls it, in the model's precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.modeling.task import Call


def call_method(model: nn.Module, method: str, *x: Any) -> Any:
    """Call a method of a model; `forward` with the hooks of the module."""
    return model(*x) if method == "forward" else getattr(model, method)(*x)


def calling(model: nn.Module) -> Call:
    """Return a model as a task calls it: `call(*x, method="forward")`."""
    return lambda *x, method="forward": call_method(model, method, *x)


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the dtype of a model's first real parameter; float32 if it has none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert real values to a dtype, and leave indices as they are."""
    return x.to(dtype) if x.is_floating_point() else x
