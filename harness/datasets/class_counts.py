"""Counts of the classes in each split, by which imbalance and classes that a split lacks are found."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.datasets.balance import imbalanced
from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.datasets.disk import DiskSamples

MAX_NAMED = 3  # classes named in one line


def split_counts(dataset: Dataset) -> Tensor | None:
    """Return the number of samples of each class in each split, `[3, C]`, or None if it is unknown."""
    parts = [part for split in SPLITS if isinstance(part := dataset.part(split), Samples | DiskSamples)]
    if dataset.target != "class" or len(parts) < len(SPLITS):
        return None
    return torch.stack([_counts(part, len(dataset.classes)) for part in parts])


def _counts(part: Samples | DiskSamples, classes: int) -> Tensor:
    chunks = [part.y] if isinstance(part, Samples) else part.blocks(part.y)
    return sum((torch.bincount(y, minlength=classes) for y in chunks), torch.zeros(classes, dtype=torch.int64))


def has_imbalanced_classes(dataset: Dataset) -> bool:
    """Return True if the classes are imbalanced, over all splits: it then does not depend on `split.seed`."""
    counts = split_counts(dataset)
    return counts is not None and imbalanced([n for n in counts.sum(0).tolist() if n])


def lacking_classes(dataset: Dataset) -> list[str]:
    """Return one line that names the classes which splits lack, or none."""
    counts = split_counts(dataset)
    if counts is None:
        return []
    texts = []
    for split, count in zip(SPLITS, counts, strict=True):
        if bool((missing := (count == 0) & (counts.sum(0) > 0)).any()):
            texts.append(f"the {split} split lacks {class_names(dataset, missing)}")
    if bool((empty := counts.sum(0) == 0).any()):
        texts.append(f"there is no sample of {class_names(dataset, empty)}")
    return ["; ".join(texts)] if texts else []


def class_names(dataset: Dataset, mask: Tensor) -> str:
    """Return the first names of the classes in a boolean mask `[C]`, after the word class or classes."""
    names = [repr(dataset.classes[i]) for i in mask.nonzero()[:, 0].tolist()]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ("class " if len(names) == 1 else "classes ") + ", ".join(names[:MAX_NAMED]) + more
