"""Tasks without targets: reconstruction and generation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

import harness
from harness import Batch, Call, Dataset, HarnessError, Noise, Task


class Unsupervised(Task):
    """The targets are the inputs. A loss may return one scalar, or one for each of the model's groups."""

    def outputs(self, dataset: Dataset) -> int:
        """Return the size of an input."""
        return math.prod(dataset.inputs)

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return {group: scalar}."""
        x, _ = batch
        return _named(self.loss(call(x), x))

    def predict(self, call: Call, batch: Batch) -> tuple[Any, Any]:
        """Return the model's outputs for the inputs, and the inputs."""
        x, _ = batch
        return call(x), x

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Return losses, outputs and inputs from one forward pass."""
        prediction, x = self.predict(call, batch)
        return _named(self.loss(prediction, x)), (prediction, x)


def _named(loss: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    return loss if isinstance(loss, dict) else {"model": loss}


def _check_real_inputs(name: str, dataset: Dataset) -> None:
    if not dataset.real_inputs:
        raise HarnessError(
            f"task {name} requires inputs that are real numbers, and these are indices: choose transform=[one_hot]"
        )


class Reconstruction(Unsupervised):
    """Predict the inputs."""

    def pictures(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return some inputs and their reconstructions."""
        x, _ = batch
        return {"inputs": x, "reconstructions": call(x)}


@harness.task(targets=("class", "real"), loss="mse", metrics=("mse",), model="autoencoder")
def reconstruction(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Reconstruct the inputs `[N, ...]`; the data's targets are ignored."""
    _check_real_inputs("reconstruction", dataset)
    return Reconstruction(loss)


class Generation(Unsupervised):
    """Draw new samples by the model's `sample(like)`; several networks list their parameters in `groups()`."""

    def infer(self, call: Call, x: Tensor) -> None:
        """Infer nothing: samples are drawn, not predicted."""

    def groups(self, model: nn.Module) -> dict[str, list[str]]:
        """Return the parameters of each network, or all in one group."""
        groups = getattr(model, "groups", None)
        return super().groups(model) if groups is None else groups()

    def pictures(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return some inputs, new samples, and reconstructions if the model makes them."""
        x, _ = batch
        # show the mean of a Bernoulli likelihood, not its logits
        settings = getattr(self.loss, "keywords", {})
        to_pixels = Tensor.sigmoid if settings.get("likelihood") == "bernoulli" else Tensor.clone
        images = {"inputs": x, "samples": to_pixels(call(x, method="sample"))}
        first = call(x)[0]
        return images | ({"reconstructions": to_pixels(first)} if first.shape == x.shape else {})


@harness.task(targets=("class", "real"), loss="elbo", metrics=(), model="vae")
def generation(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Learn the distribution of the inputs `[N, ...]` to draw new ones; the data's targets are ignored."""
    _check_real_inputs("generation", dataset)
    return Generation(loss)
