"""Metrics of generative models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

import harness


class LogLikelihood(Metric):
    """Mean of the log p(x) that a model returns."""

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: tuple[Tensor, ...], target: Any) -> None:
        """Add predictions (..., log p(x) [N])."""
        self.total = self.total + prediction[-1].double().sum()
        self.count = self.count + len(prediction[-1])

    def compute(self) -> Tensor:
        """Return the mean over all samples."""
        return self.total / self.count


@harness.metric(tasks=("generation",))
def log_likelihood() -> Metric:
    """Mean log-likelihood of the samples in nats, mean_n log p(x_n), of models that compute it exactly (rbm).

    >>> log_likelihood()((torch.tensor([-1.0, -2.0]),), None)
    tensor(-1.5000, dtype=torch.float64)
    """
    return LogLikelihood()
