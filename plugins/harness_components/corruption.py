"""Corruptions: data sets with a fault put in on purpose. Only the training split, unless the docstring says more."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Generator

import harness
from harness.dataset import Dataset, Samples
from harness.errors import HarnessError
from harness.space import Uniform


@harness.corruption(
    targets=("class",),
    reference="Zhang et al., Understanding deep learning requires rethinking generalization, 2017",
)
def label_noise(
    dataset: Dataset,
    generator: Generator,
    *,
    p: Annotated[float, Uniform(0.05, 0.5), Interval(ge=0, le=1)] = 0.2,
) -> Dataset:
    """Gives a share p of the training samples another class, each of the others alike.

    Exactly round(p · N) labels change; validation and test keep theirs.
    """
    part = dataset.train
    if not isinstance(part, Samples):
        raise HarnessError("label_noise wants data in memory")
    count, classes = round(p * len(part)), len(dataset.classes)
    chosen = torch.randperm(len(part), generator=generator)[:count]
    offset = torch.randint(1, classes, (count,), generator=generator)
    y = part.y.clone()
    y[chosen] = (y[chosen] + offset) % classes
    return replace(dataset, train=Samples(part.x, y))
