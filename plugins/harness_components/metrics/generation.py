"""Metrics of models that generate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

import harness


class LogLikelihood(Metric):
    """The mean of what a model tells as log p(x)."""

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: tuple[Tensor, ...], target: Any) -> None:
        """prediction: (..., log p(x) [N])."""
        self.total = self.total + prediction[-1].double().sum()
        self.count = self.count + len(prediction[-1])

    def compute(self) -> Tensor:
        """The mean over all samples."""
        return self.total / self.count


@harness.metric(tasks=("generation",))
def log_likelihood() -> Metric:
    """Mean log-likelihood of the samples in nats, mean_n log p(x_n), exact; of models that can tell it (rbm)."""
    return LogLikelihood()
