"""Take some samples of a data set: to see shapes, to initialize, to measure, to show."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.datasets.dataset import Dataset, Samples, size

INITIALIZER_SAMPLES = 256  # training samples for a data-driven initializer


def sampled_inputs(dataset: Dataset, count: int = INITIALIZER_SAMPLES, split: str = "train") -> Tensor:
    """Return inputs [n, ...] of a random sample of a split, the same one at each call."""
    return sampled(dataset, count, split)[0]


def first_samples(dataset: Dataset, count: int, split: str = "train") -> tuple[Tensor, Tensor]:
    """Return the first inputs [n, ...] and targets [n, ...] of a split, to see shapes: they may be of one class."""
    return _at(dataset, torch.arange(min(count, size(dataset.part(split)))), split)


def sampled(dataset: Dataset, count: int, split: str = "train") -> tuple[Tensor, Tensor]:
    """Return inputs [n, ...] and targets [n, ...] of a random sample of a split, the same one at each call."""
    return _at(dataset, sampled_index(size(dataset.part(split)), count), split)


def sampled_index(n: int, count: int) -> Tensor:
    """Return the indices of a random sample of n samples, in order: a split that a data set brings may be sorted.

    >>> sampled_index(4, 9)
    tensor([0, 1, 2, 3])
    """
    if count >= n:
        return torch.arange(n)
    return torch.from_numpy(np.sort(np.random.default_rng(0).choice(n, count, replace=False)))


def _at(dataset: Dataset, index: Tensor, split: str) -> tuple[Tensor, Tensor]:
    part = dataset.part(split)
    if isinstance(part, Samples):
        return part.x[index], part.y[index]
    pairs = [part[i] for i in index.tolist()]
    x, y = (torch.stack([torch.as_tensor(pair[i]) for pair in pairs]) for i in (0, 1))
    for transform in dataset.transforms:
        x = transform(x)
    return x, y
