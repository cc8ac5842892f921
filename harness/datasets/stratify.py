"""Divisions of samples that keep the share of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.config.settings import Split
from harness.system.errors import HarnessError

FEWEST = 3  # samples of a class: one for each split


def stratified(y: Tensor | None, split: Split, test: int, val: int) -> bool:
    """Whether samples of classes y [N] are divided by class.

    With split.stratify=auto they are where every class has three samples, and each split one sample a class.

    Raises:
        HarnessError: If split.stratify=true cannot be done.
    """
    if split.stratify is False:
        return False
    if y is None:
        why = "targets that are classes, and read before they are divided"
    else:
        sizes = y.bincount()
        found = sizes[sizes > 0]
        least = min((count for count in (test, val) if count), default=0)
        if found.min() >= FEWEST and least >= len(found):
            return True
        why = f"{FEWEST} samples of each class, and of class {int((sizes + (sizes == 0) * len(y)).argmin())} "
        why += f"(from 0) there are {found.min()}"
        if found.min() >= FEWEST:
            why = f"a sample of each class in each split, and one of {least} has fewer than {len(found)} classes"
    if split.stratify is True:
        raise HarnessError(f"split.stratify=true wants {why}: set split.stratify=false")
    return False


def shares(y: Tensor, count: int) -> Tensor:
    """Which `count` of the samples [N] make a part with the share of each class, by the largest remainder: the first of
    each class.

    >>> shares(torch.tensor([0, 1, 0, 0, 1, 0]), 3).tolist()
    [True, True, True, False, False, False]
    """
    sizes = y.bincount()
    seats, rest = sizes * count // len(y), sizes * count % len(y)
    seats[rest.argsort(descending=True, stable=True)[: count - int(seats.sum())]] += 1
    first = sizes.cumsum(0) - sizes
    place = torch.empty_like(y)
    by_class = y.argsort(stable=True)
    place[by_class] = torch.arange(len(y)) - first[y[by_class]]
    return place < seats[y]
