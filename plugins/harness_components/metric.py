"""Metrics, by torchmetrics: summed over batches and processes, then computed once."""

from __future__ import annotations

from typing import Literal

from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchmetrics.regression import MeanSquaredError

import harness

Average = Literal["micro", "macro", "weighted"]


@harness.metric(tasks=("classification",))
def accuracy(num_classes: int, *, average: Average = "micro") -> Metric:
    """Share of the samples whose most probable class is theirs (macro: the mean of the classes' shares)."""
    return MulticlassAccuracy(num_classes, average=average, validate_args=False)


@harness.metric(tasks=("classification",), reference="van Rijsbergen, Information retrieval, 1979")
def f1(num_classes: int, *, average: Average = "macro") -> Metric:
    """F1: the harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), averaged over the classes."""
    return MulticlassF1Score(num_classes, average=average, validate_args=False)


@harness.metric(tasks=("regression", "reconstruction"))
def mse() -> Metric:
    """Mean squared error, over samples and targets, in the target's units squared."""
    return MeanSquaredError()
