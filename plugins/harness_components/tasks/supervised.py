"""Tasks: what is learned from which kind of target, with which loss and metrics by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from torch import Tensor, nn

import harness
from harness import Batch, Call, Dataset, Noise, Task, scaled


@harness.task(targets=("class",), loss="cross_entropy", metrics=("accuracy",), auto=True)
def classification(loss: Callable[..., Any]) -> Task:
    """Tells classes apart: one logit a class, [N, C], against class indices [N]."""
    return Classification(loss)


class Classification(Task):
    """One logit a class."""

    def probabilities(self, prediction: Tensor) -> Tensor:
        """The softmax of the logits."""
        return prediction.double().softmax(1)


class Standardized(Task):
    """Real targets, learned as z = (y - μ) / σ and predicted as y."""

    exact_targets = True

    def prepare(self, model: nn.Module, dataset: Dataset) -> nn.Module:
        """With μ and σ of the training targets: these are each run's own, and a stack's members share their task."""
        return scaled(model, dataset.target_chunks)

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss between standardized predictions and targets."""
        return {"model": self.loss(*self._standardized(call, batch))}

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """The loss between standardized numbers; predictions and targets as they are."""
        z, target = self._standardized(call, batch)
        return {"model": self.loss(z, target)}, (call(z, method="restore"), batch[1].double())

    def _standardized(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predictions and targets in units of the deviation, in the precision of the inputs."""
        x, y = batch
        z = call(x, method="standardized")
        return z, call(y, method="standardize").to(x.dtype if x.is_floating_point() else z.dtype)


@harness.task(targets=("real",), loss="mse", metrics=("mse",), auto=True)
def regression(
    loss: Callable[..., Any],
    dataset: Dataset,
    *,
    standardize: Annotated[bool, "learn targets of mean 0 and deviation 1; metrics stay in the target's units"] = True,
) -> Task:
    """Predicts real numbers: [N, D] against [N, D].

    The loss is taken between (ŷ - μ) / σ and (y - μ) / σ, with μ and σ (biased) of each target in the training split;
    predictions and metrics are in the target's units. Data that is read sample by sample is learned as it is.
    """
    return Standardized(loss) if standardize and dataset.passed_over else Unscaled(loss)


class Unscaled(Task):
    """Real targets, learned in their own units, and compared with predictions in float64, which does not round them."""

    exact_targets = True

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss, computed in float64, in the precision of the predictions."""
        x, y = batch
        prediction = call(x)
        return {"model": self.loss(prediction.double(), y.double()).to(prediction.dtype)}

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predictions and targets, both in float64."""
        x, y = batch
        return call(x).double(), y.double()
