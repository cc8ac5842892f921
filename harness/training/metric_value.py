"""Values of metrics in float64, so that a share of k out of n samples is recorded as k/n."""

from __future__ import annotations

import torch
import torchmetrics
from torch import Tensor


def with_float64_states(metric: torchmetrics.Metric) -> torchmetrics.Metric:
    """Convert the sums and counts of a metric to float64, in place; `reset` restores their types.

    torchmetrics divides integers in float32, where 344/360 is 0.9555555582. Up to 2**53 float64 holds counts exactly,
    and the quotient of two of them is the float64 that is nearest to k/n.

    >>> from torchmetrics.classification import BinaryAccuracy
    >>> accuracy = BinaryAccuracy()
    >>> accuracy.update(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 1]))
    >>> float(with_float64_states(accuracy).compute()) == 2 / 3
    True
    """
    for part in metric.modules():  # a wrapper holds other metrics
        if isinstance(part, torchmetrics.Metric):
            for name, state in part.metric_state.items():
                if isinstance(state, Tensor) and state.dtype != torch.bool:
                    setattr(part, name, state.double())
    return metric


def metric_value(metric: torchmetrics.Metric) -> float:
    """Return the value of a metric, computed in float64."""
    return float(with_float64_states(metric).compute())
