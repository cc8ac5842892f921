"""Models that are fitted at once, in closed form or by another library."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from harness.datasets.dataset import Samples


class Estimator(Protocol):
    """A model that is fitted without gradient steps.

    A model component with the trait `estimator=True` returns it in place of a module.
    """

    def fit(self, train: Samples) -> None:
        """Fit the training split.

        Args:
            train: Inputs `[N, ...]` and targets `[N]` or `[N, D]`.
        """

    def predict(self, x: Tensor) -> Tensor:
        """Predict inputs.

        Args:
            x: Inputs `[N, ...]`.

        Returns:
            Predictions `[N, ...]` for the loss and the metrics of the task.
        """


class EstimatorModule(nn.Module):
    """Module without parameters that predicts with an estimator."""

    def __init__(self, estimator: Estimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions for inputs x `[N, ...]`, on the device and in the precision of x."""
        prediction = self.predicted(x)
        return prediction.to(x.dtype if prediction.is_floating_point() and x.is_floating_point() else prediction.dtype)

    def predicted(self, x: Tensor) -> Tensor:
        """Return predictions for inputs x `[N, ...]` in the estimator's own precision."""
        return torch.as_tensor(self.estimator.predict(x.cpu())).to(x.device)
