"""Binary tasks: two classes by one logit, and multi-label classification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import harness
from harness import Batch, Call, Dataset, Noise, Task


class Binary(Task):
    """Two classes by one logit."""

    def outputs(self, dataset: Dataset) -> int:
        """Return 1: the log-odds of the second class."""
        return 1

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the loss of logits [N, 1] against probabilities of the second class [N, 1]."""
        prediction, target = self.predict(call, batch)
        return {"model": self.loss(prediction, target)}

    def probabilities(self, prediction: Tensor) -> Tensor:
        """Return the probabilities of both classes, [N, 2]."""
        p = prediction.double().sigmoid()
        return torch.cat([1 - p, p], 1)

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return logits and targets, [N, 1] each. Smoothed or mixed targets are probabilities of both classes."""
        x, y = batch
        prediction = call(x)
        return prediction, (y[:, 1:] if y.ndim > 1 else y[:, None]).to(prediction.dtype)


@harness.task(
    targets=("class",),
    classes=2,
    loss="bce",
    metrics=("binary_accuracy",),
    imbalance_metrics=("balanced_accuracy",),
)
def binary_classification(loss: Callable[..., Any]) -> Task:
    """Classify into two classes by one logit, the log-odds of the second class.

    Predictions are logits `[N, 1]`; targets are probabilities of the second class `[N, 1]`.
    """
    return Binary(loss)


@harness.task(targets=("labels",), loss="bce", metrics=("binary_accuracy",), auto=True)
def multilabel(loss: Callable[..., Any]) -> Task:
    """Predict which of several labels hold, by one logit for each label.

    Predictions are logits `[N, L]`; targets `[N, L]` are 0 or 1.
    """
    return Multilabel(loss)


class Multilabel(Task):
    """One logit for each label."""

    def probabilities(self, prediction: Tensor) -> Tensor:
        """Return the sigmoid of each logit."""
        return prediction.double().sigmoid()
