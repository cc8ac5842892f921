"""Divide samples such that every split has the same share of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.config.settings import Split
from harness.system.errors import HarnessError

MIN_PER_CLASS = 3  # samples of a class, one for each split


def strata(y: Tensor | None, split: Split, test: int, val: int) -> Tensor | None:
    """Return the stratum of each sample, whose shares every split keeps, or None to divide without strata.

    A stratum is a class. With split.stratify=auto, classes with fewer than three samples together are one, and samples
    are divided without strata if a split has fewer samples than there are strata.

    Args:
        y: Classes of the samples, shape `[N]`; None if there are none.
        split: Settings of the split.
        test: Number of test samples.
        val: Number of validation samples.

    Returns:
        Strata `[N]`, or None.

    Raises:
        HarnessError: If split.stratify=true is not possible.
    """
    if split.stratify is False:
        return None
    why = "targets that are classes and are read before the split"
    if y is not None:
        sizes = y.bincount()
        rare = (sizes > 0) & (sizes < MIN_PER_CLASS)
        least = min((count for count in (test, val) if count), default=0)
        groups = torch.where(rare[y], len(sizes), y)
        number = len(groups.unique())
        if least >= number and not (split.stratify is True and rare.any()):
            return groups
        why = f"a sample of each class in each split, and one of {least} has fewer than {number} classes"
        if rare.any():
            smallest = int(torch.where(sizes > 0, sizes, len(y)).argmin())
            why = f"{MIN_PER_CLASS} samples of each class, and of class {smallest} (from 0) there are {sizes[smallest]}"
    if split.stratify is True:
        raise HarnessError(f"split.stratify=true needs {why}: set split.stratify=auto")
    return None


def shares(y: Tensor, count: int) -> Tensor:
    """Select samples with the same share of each class as all samples, by the method of the largest remainder.

    Args:
        y: Classes of the samples, shape `[N]`.
        count: Number of samples to select.

    Returns:
        Boolean mask `[N]`; the first samples of each class are selected.

    >>> shares(torch.tensor([0, 1, 0, 0, 1, 0]), 3).tolist()
    [True, True, True, False, False, False]
    """
    sizes = y.bincount()
    seats, rest = sizes * count // len(y), sizes * count % len(y)
    seats[rest.argsort(descending=True, stable=True)[: count - int(seats.sum())]] += 1
    first = sizes.cumsum(0) - sizes
    rank = torch.empty_like(y)  # of a sample within its class
    by_class = y.argsort(stable=True)
    rank[by_class] = torch.arange(len(y)) - first[y[by_class]]
    return rank < seats[y]
