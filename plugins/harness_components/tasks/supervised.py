"""Classification and regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from torch import Tensor, nn

import harness
from harness import Batch, Call, Dataset, Noise, Task, scaled


@harness.task(
    targets=("class",),
    loss="cross_entropy",
    metrics=("accuracy",),
    imbalance_metrics=("balanced_accuracy",),
    auto=True,
)
def classification(loss: Callable[..., Any]) -> Task:
    """Classify by one logit for each class: logits `[N, C]` against class indices `[N]`."""
    return Classification(loss)


class Classification(Task):
    """One logit for each class."""

    def probabilities(self, prediction: Tensor) -> Tensor:
        """Return the softmax of the logits."""
        return prediction.double().softmax(1)


class Standardized(Task):
    """Real targets, learned as z = (y - μ) / σ and predicted as y."""

    exact_targets = True

    def prepare(self, model: nn.Module, dataset: Dataset) -> nn.Module:
        """Add μ and σ of the training targets to the model: each run has its own, but a stack shares its task."""
        return scaled(model, dataset.target_chunks)

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the loss between standardized predictions and targets."""
        return {"model": self.loss(*self._standardized(call, batch))}

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Return the loss between standardized values, and predictions and targets in their units."""
        z, target = self._standardized(call, batch)
        return {"model": self.loss(z, target)}, (call(z, method="restore"), batch[1].double())

    def _standardized(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return standardized predictions and targets, in the precision of the inputs."""
        x, y = batch
        z = call(x, method="standardized")
        return z, call(y, method="standardize").to(x.dtype if x.is_floating_point() else z.dtype)


@harness.task(targets=("real",), loss="mse", metrics=("mse",), auto=True)
def regression(
    loss: Callable[..., Any],
    dataset: Dataset,
    *,
    standardize: Annotated[bool, "learn standardized targets; metrics stay in the target's units"] = True,
) -> Task:
    """Predict real numbers: `[N, D]` against `[N, D]`.

    With μ and σ (biased) of each target in the training split, the loss compares

        (ŷ - μ) / σ with (y - μ) / σ

    and predictions and metrics are in the target's units. Data that is read sample by sample is not standardized.
    """
    return Standardized(loss) if standardize and dataset.passed_over else Unscaled(loss)


class Unscaled(Task):
    """Real targets, learned in their own units, and compared with predictions in float64 to avoid rounding."""

    exact_targets = True

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the loss, computed in float64, in the precision of the predictions."""
        x, y = batch
        prediction = call(x)
        return {"model": self.loss(prediction.double(), y.double()).to(prediction.dtype)}

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return predictions and targets in float64."""
        x, y = batch
        return call(x).double(), y.double()
