"""Tasks without a target: the inputs are all that there is to learn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

import harness
from harness import Batch, Call, Dataset, HarnessError, Noise, Task


class Unsupervised(Task):
    """The targets are the inputs. A loss may give one scalar, or one for each of the model's groups."""

    def outputs(self, dataset: Dataset) -> int:
        """The numbers of an input."""
        return math.prod(dataset.inputs)

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """{group: scalar}"""
        x, _ = batch
        return _named(self.loss(call(x), x))

    def predict(self, call: Call, batch: Batch) -> tuple[Any, Any]:
        """(what the model makes of the inputs, the inputs)"""
        x, _ = batch
        return call(x), x

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Both, with one pass."""
        prediction, x = self.predict(call, batch)
        return _named(self.loss(prediction, x)), (prediction, x)


def _named(loss: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    return loss if isinstance(loss, dict) else {"model": loss}


def _wants_numbers(name: str, dataset: Dataset) -> None:
    if not dataset.real_inputs:
        raise HarnessError(f"task {name} wants inputs that are real numbers, and these are indices")


class Reconstruction(Unsupervised):
    """Inputs from inputs."""

    def pictures(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Some inputs, and what is left of them."""
        x, _ = batch
        return {"inputs": x, "reconstructions": call(x)}


@harness.task(targets=("class", "real"), loss="mse", metrics=("mse",), model="autoencoder")
def reconstruction(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Gives back its inputs [N, ...], whatever their targets are."""
    _wants_numbers("reconstruction", dataset)
    return Reconstruction(loss)


class Generation(Unsupervised):
    """New samples, by a model with a method `sample(like)`; one of several players tells their parameters apart by a
    method `groups()`.
    """

    def infer(self, call: Call, x: Tensor) -> None:
        """Nothing: samples are drawn, and answer no input."""

    def groups(self, model: nn.Module) -> dict[str, list[str]]:
        """The players' parameters, or all in one group."""
        own = getattr(model, "groups", None)
        return super().groups(model) if own is None else own()

    def pictures(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Some inputs, new samples, and reconstructions where the model makes them."""
        x, _ = batch
        # a bernoulli's logits are no picture: its mean is
        settings = getattr(self.loss, "keywords", {})
        seen = Tensor.sigmoid if settings.get("likelihood") == "bernoulli" else Tensor.clone
        made = {"inputs": x, "samples": seen(call(x, method="sample"))}
        first = call(x)[0]
        return made | ({"reconstructions": seen(first)} if first.shape == x.shape else {})


@harness.task(targets=("class", "real"), loss="elbo", metrics=(), model="vae")
def generation(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Learns the distribution of the inputs [N, ...], to draw new ones; their targets are not looked at."""
    _wants_numbers("generation", dataset)
    return Generation(loss)
