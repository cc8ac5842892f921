"""Remarks on suspicious targets of a data set, such as classes that are missing in a split."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.datasets.disk import DiskSamples

MAX_NAMED = 3  # classes named in one remark
MANY_CLASSES, MIN_SAMPLES = 20, 5  # more classes than the first with fewer samples each than the second are suspicious


class TargetWarning(UserWarning):
    """Warning about suspicious targets of a data set."""


def remarks(dataset: Dataset) -> list[str]:
    """Return remarks on how the data was read, and on classes that are too many, too small or missing in a split."""
    lines = list(dataset.remarks)
    parts = [dataset.part(split) for split in SPLITS]
    if dataset.target != "class" or not all(isinstance(part, Samples | DiskSamples) for part in parts):
        return lines
    counts = torch.stack([_counts(part, len(dataset.classes)) for part in parts])  # type: ignore[arg-type]
    totals, n = counts.sum(0), int(counts.sum())
    if len(totals) > MANY_CLASSES and n < MIN_SAMPLES * len(totals):
        return [*lines, f"{len(totals)} classes for {n} samples: are the targets numbers, or texts?"]
    if bool((totals == 1).any()):
        lines.append(f"there is only one sample of class {_class_names(dataset, totals == 1)}")
    for split, count in zip(SPLITS, counts, strict=True):
        if bool((missing := (count == 0) & (totals > 1)).any()):
            lines.append(f"the {split} split lacks class {_class_names(dataset, missing)}")
    if bool((empty := totals == 0).any()):
        lines.append(f"there is no sample of class {_class_names(dataset, empty)}")
    return lines


def _counts(part: Samples | DiskSamples, classes: int) -> Tensor:
    chunks = [part.y] if isinstance(part, Samples) else part.blocks(part.y)
    return sum((torch.bincount(y, minlength=classes) for y in chunks), torch.zeros(classes, dtype=torch.int64))


def _class_names(dataset: Dataset, mask: Tensor) -> str:
    names = [repr(dataset.classes[i]) for i in mask.nonzero()[:, 0].tolist()]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
