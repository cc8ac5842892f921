"""Corruptions of the inputs, in chosen splits: noise and missing values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

import harness
from harness import SPLITS, Dataset, Samples
from harness.space import Log, Uniform
from harness_components.corruptions.standard import splits_in_memory

Splits = Annotated[Literal["test", "train", "all"], "splits to corrupt"]


def _corrupted(dataset: Dataset, name: str, splits: str, function: Callable[[Tensor], Tensor]) -> Dataset:
    """Return the data set with the inputs of some splits mapped."""
    parts = dict(zip(SPLITS, splits_in_memory(dataset, name), strict=True))
    chosen = parts if splits == "all" else {splits: parts[splits]}
    mapped: dict[str, Any] = {split: Samples(function(part.x), part.y) for split, part in chosen.items()}
    return replace(dataset, **mapped)


def _statistics(dataset: Dataset, name: str) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation in training: of each feature of vectors, else of all values."""
    train, _, _ = splits_in_memory(dataset, name)
    x = train.x.double()
    over = list(range(x.ndim)) if x.ndim > 2 else [0]
    return x.mean(over, keepdim=True)[0], x.std(over, correction=0, keepdim=True)[0]


@harness.corruption(
    reference="Hendrycks, Dietterich, Benchmarking neural network robustness to common corruptions and perturbations, "
    "ICLR 2019, arXiv:1903.12261"
)
def noisy_inputs(
    dataset: Dataset,
    generator: Generator,
    *,
    std: Annotated[float, Log(0.05, 2), Ge(0), "standard deviation, in those of the training inputs"] = 0.5,
    splits: Splits = "test",
) -> Dataset:
    """Gaussian noise on the inputs, drawn once.

    With σ the standard deviation in training, of each feature for vectors and of all values for images and sequences,
    and ε ~ N(0, 1) for each element:

        x' = x + std · σ ε
    """
    _, deviation = _statistics(dataset, "noisy_inputs")

    def add(x: Tensor) -> Tensor:
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        return (x + std * deviation * drawn).to(x.dtype)

    return _corrupted(dataset, "noisy_inputs", splits, add)


@harness.corruption(
    reference="missing completely at random: Rubin, Inference and missing data, Biometrika 63, 1976; at the test: "
    "Globerson, Roweis, Nightmare at test time: robust learning by feature deletion, ICML 2006"
)
def missing_inputs(
    dataset: Dataset,
    generator: Generator,
    *,
    share: Annotated[float, Uniform(0.05, 0.9), Interval(ge=0, le=1), "probability that a value is missing"] = 0.2,
    splits: Splits = "test",
) -> Dataset:
    """Missing inputs: replace values at random by their mean in training.

    Each value of each sample is missing with probability `share`, and gets the mean of its feature in the training
    split; a missing pixel is missing in all channels.
    """
    train, _, _ = splits_in_memory(dataset, "missing_inputs")
    mean = train.x.double().mean(0)

    def delete(x: Tensor) -> Tensor:
        shape = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
        missing = torch.rand(shape, generator=generator) < share
        return torch.where(missing, mean.to(x.dtype), x)

    return _corrupted(dataset, "missing_inputs", splits, delete)
