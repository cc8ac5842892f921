"""Base class of metrics that are sums over the samples, which also work under vmap for a stack of runs."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class Sums(Metric):
    """Sums over the samples in float64, of any shape; a subclass adds terms and computes a number from them."""

    full_state_update = False
    higher_is_better: bool = False

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.count: Tensor
        for name, shape in {"count": (), **shapes}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, count: int, **terms: Tensor) -> None:
        """Add the terms of a batch of `count` samples."""
        self.count = self.count + count
        for name, term in terms.items():
            setattr(self, name, getattr(self, name) + term)
