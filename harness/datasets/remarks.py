"""Remarks on suspicious targets of a data set, such as classes with a single sample."""

from __future__ import annotations

from harness.datasets.class_counts import class_names, split_counts
from harness.datasets.dataset import Dataset

MANY_CLASSES, MIN_SAMPLES = 20, 5  # more classes than the first with fewer samples each than the second are suspicious


class TargetWarning(UserWarning):
    """Warning about suspicious targets of a data set."""


def remarks(dataset: Dataset) -> list[str]:
    """Return remarks on how the data was read, and on classes that are too many or too small."""
    lines, counts = list(dataset.remarks), split_counts(dataset)
    if counts is None:
        return lines
    totals, n = counts.sum(0), int(counts.sum())
    if len(totals) > MANY_CLASSES and n < MIN_SAMPLES * len(totals):
        return [*lines, f"{len(totals)} classes for {n} samples: are the targets numbers, or texts?"]
    if bool((totals == 1).any()):
        lines.append(f"there is only one sample of {class_names(dataset, totals == 1)}")
    return lines
