"""What a person should know of the targets of a data set before believing a result."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.datasets.disk import DiskSamples

NAMED = 3  # classes that a line names
MANY, EACH = 20, 5  # more classes than the first, of fewer samples on average than the second, are no classes to learn


class TargetWarning(UserWarning):
    """Something about the targets of a data set is not as one would expect."""


def remarks(dataset: Dataset) -> list[str]:
    """Lines on how the data was read, and on classes that are too many, too small, or missing in a split."""
    made = list(dataset.remarks)
    parts = [dataset.part(split) for split in SPLITS]
    if dataset.target != "class" or not all(isinstance(part, Samples | DiskSamples) for part in parts):
        return made
    counts = torch.stack([_counts(part, len(dataset.classes)) for part in parts])  # type: ignore[arg-type]
    whole, n = counts.sum(0), int(counts.sum())
    if len(whole) > MANY and n < EACH * len(whole):
        return [*made, f"{len(whole)} classes for {n} samples: are the targets numbers, or texts?"]
    if bool((whole == 1).any()):
        made.append(f"one sample alone is of class {_named(dataset, whole == 1)}")
    for split, count in zip(SPLITS, counts, strict=True):
        if bool((missing := (count == 0) & (whole > 1)).any()):
            made.append(f"the {split} split lacks class {_named(dataset, missing)}")
    if bool((empty := whole == 0).any()):
        made.append(f"there is no sample of class {_named(dataset, empty)}")
    return made


def _counts(part: Samples | DiskSamples, classes: int) -> Tensor:
    y = [part.y] if isinstance(part, Samples) else part.blocks(part.y)
    return sum((torch.bincount(some, minlength=classes) for some in y), torch.zeros(classes, dtype=torch.int64))


def _named(dataset: Dataset, which: Tensor) -> str:
    names = [repr(dataset.classes[i]) for i in which.nonzero()[:, 0].tolist()]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
