"""Tasks of yes and no: two classes by one logit, and labels of which any number may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import harness
from harness import Batch, Call, Dataset, Noise, Task


class Binary(Task):
    """Two classes told apart by one logit."""

    def outputs(self, dataset: Dataset) -> int:
        """One: the log-odds of the second class."""
        return 1

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss of the logits [N, 1] against the second class's probabilities [N, 1]."""
        prediction, target = self.predict(call, batch)
        return {"model": self.loss(prediction, target)}

    def probabilities(self, prediction: Tensor) -> Tensor:
        """Of both classes, [N, 2]."""
        p = prediction.double().sigmoid()
        return torch.cat([1 - p, p], 1)

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits and targets, both [N, 1]. Smoothed or mixed targets are probabilities of both classes, [N, 2]."""
        x, y = batch
        prediction = call(x)
        return prediction, (y[:, 1:] if y.ndim > 1 else y[:, None]).to(prediction.dtype)


@harness.task(targets=("class",), classes=2, loss="bce", metrics=("binary_accuracy",))
def binary_classification(loss: Callable[..., Any]) -> Task:
    """Tells two classes apart by one logit, [N, 1], the log-odds of the second class."""
    return Binary(loss)


@harness.task(targets=("labels",), loss="bce", metrics=("binary_accuracy",), auto=True)
def multilabel(loss: Callable[..., Any]) -> Task:
    """Tells which of several labels hold: one logit a label, [N, L], against [N, L] of 0 and 1."""
    return Multilabel(loss)


class Multilabel(Task):
    """One logit a label."""

    def probabilities(self, prediction: Tensor) -> Tensor:
        """The sigmoid of each logit."""
        return prediction.double().sigmoid()
