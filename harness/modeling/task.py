"""The base class of tasks, which define the losses and the predictions of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Generator, Tensor, nn

from harness.datasets.dataset import Dataset, Part
from harness.modeling.rng.noise import Noise

Call = Callable[..., Any]  # call(*x, method="forward"): the model with its parameters and buffers bound
Batch = tuple[Any, Any]  # (x, y)
Loss = Callable[[Any, Any], Tensor]


class Task:
    """One output, one loss. Override what differs; every method is a pure function of its arguments."""

    exact_targets = False  # targets come as the data holds them, maybe in float64, and not in the model's precision

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def outputs(self, dataset: Dataset) -> int:
        """How many numbers a prediction has: what the model is asked for."""
        return dataset.width

    def tuples(self, part: Part, split: str, generator: Generator) -> Tensor | None:
        """Indices [T, S] of samples of a split that are seen together: an episode's, a pair's. None: each by itself.

        Where it is overridden, data is in memory. T and S depend on the split alone. A batch is `batch_size` of them,
        and comes to the other methods flat, x [batch_size · S, ...] and y alike, in this order. Training draws anew for
        each epoch; what is evaluated is drawn once, by the split's seed, and is the same for every run of that split.
        """
        return None

    def prepare(self, model: nn.Module, dataset: Dataset) -> nn.Module:
        """The model as this task trains and keeps it: with what it wants to know of the data in buffers."""
        return model

    def groups(self, model: nn.Module) -> dict[str, list[str]]:
        """Which parameters each loss trains, by name; one optimizer and one scheduler is built for each group."""
        return {"model": [name for name, p in model.named_parameters() if p.requires_grad]}

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """{group: scalar}, a mean over the batch; each is differentiated on its own group alone."""
        x, y = batch
        return {"model": self.loss(call(x), y)}

    def predict(self, call: Call, batch: Batch) -> tuple[Any, Any]:
        """(predictions, targets) as the task's metrics take them."""
        x, y = batch
        return call(x), y

    def infer(self, call: Call, x: Tensor) -> Tensor | None:
        """Predictions [N, ...] for inputs whose targets are not known; None where there are none for single samples."""
        prediction: Tensor = call(x)
        return prediction

    def probabilities(self, prediction: Tensor) -> Tensor | None:
        """Of each class or label, [N, C], as predictions stand for them; None where these are no scores of classes."""
        return None

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Losses and predictions together, with one pass through the model where that is enough."""
        prediction, target = self.predict(call, batch)
        return {"model": self.loss(prediction, target)}, (prediction, target)

    def pictures(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """{tag: images [N, C, H, W] on the scale of the inputs} of what a trained model makes of some samples."""
        return {}
