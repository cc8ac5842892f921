"""The base class of tasks, which define the losses and the predictions of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Generator, Tensor, nn

from harness.datasets.dataset import Dataset, Part
from harness.modeling.rng.noise import Noise

Call = Callable[..., Any]
"""The model with its parameters and buffers bound: `call(*x, method="forward")`."""

Batch = tuple[Any, Any]
"""Inputs and targets (x, y) of a batch."""

Loss = Callable[[Any, Any], Tensor]
"""A function of prediction and target that returns a scalar, the mean over the batch."""


class Task:
    """Base class for tasks: one output and one loss. Override the methods that differ.

    Every method is a pure function of its arguments.

    Args:
        loss: The chosen loss, a function of prediction and target that returns a scalar.
    """

    exact_targets = False  # targets come as the data holds them, maybe in float64, and not in the model's precision

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def outputs(self, dataset: Dataset) -> int:
        """Return the number of outputs of the model.

        Args:
            dataset: The data of the run.
        """
        return dataset.width

    def tuples(self, part: Part, split: str, generator: Generator) -> Tensor | None:
        """Draw tuples of samples that belong together, such as episodes or pairs.

        A batch is `batch_size` tuples. The other methods get it flat, x `[batch_size · S, ...]` and y alike, in this
        order. Training draws new tuples for each epoch. Evaluation draws once, from `split.seed`, so that all runs of a
        split see the same tuples. A task that overrides this method needs data in memory.

        Args:
            part: The samples of the split.
            split: The name of the split.
            generator: The source of random numbers.

        Returns:
            Indices `[T, S]` of the samples, where T and S depend on the split only; or None for single samples.
        """
        return None

    def prepare(self, model: nn.Module, dataset: Dataset) -> nn.Module:
        """Return the model as this task trains and saves it, for example with statistics of the data as buffers.

        Args:
            model: The new model.
            dataset: The data of the run.
        """
        return model

    def groups(self, model: nn.Module) -> dict[str, list[str]]:
        """Return the names of the parameters that each loss trains.

        Args:
            model: The prepared model.

        Returns:
            `{group: names of parameters}`. Each group has its own optimizer and scheduler.
        """
        return {"model": [name for name, p in model.named_parameters() if p.requires_grad]}

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Compute the training loss of each group.

        Args:
            call: The model with its parameters bound, `call(*x, method="forward")`.
            batch: The pair (x, y): inputs `[N, ...]` and targets.
            noise: The source of random numbers.

        Returns:
            `{group: scalar}`, means over the batch. Each is differentiated for the parameters of its group only.
        """
        x, y = batch
        return {"model": self.loss(call(x), y)}

    def predict(self, call: Call, batch: Batch) -> tuple[Any, Any]:
        """Return predictions and targets for the metrics.

        Args:
            call: The model with its parameters bound.
            batch: The pair (x, y).
        """
        x, y = batch
        return call(x), y

    def infer(self, call: Call, x: Tensor) -> Tensor | None:
        """Predict samples without targets.

        Args:
            call: The model with its parameters bound.
            x: Inputs `[N, ...]`, transformed.

        Returns:
            Predictions `[N, ...]`, or None if the task predicts nothing for a single sample.
        """
        prediction: Tensor = call(x)
        return prediction

    def probabilities(self, prediction: Tensor) -> Tensor | None:
        """Convert predictions to probabilities.

        Args:
            prediction: Predictions `[N, ...]`.

        Returns:
            Probabilities `[N, C]` of classes or labels, or None if predictions are no scores of classes.
        """
        return None

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Compute losses and predictions together, with one pass through the model if possible.

        Args:
            call: The model with its parameters bound.
            batch: The pair (x, y).
            noise: The source of random numbers.

        Returns:
            The losses as `losses` returns them, and the pair that `predict` returns.
        """
        prediction, target = self.predict(call, batch)
        return {"model": self.loss(prediction, target)}, (prediction, target)

    def pictures(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return images that show what the trained model does with some samples.

        Args:
            call: The model with its parameters bound.
            batch: The pair (x, y).
            noise: The source of random numbers.

        Returns:
            `{tag: images [N, C, H, W]}`, on the scale of the inputs.
        """
        return {}
