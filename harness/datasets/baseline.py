"""Compute the scores of constant predictions, which a model has to beat."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.datasets.class_counts import split_counts
from harness.datasets.dataset import SPLITS, Dataset, Samples, size
from harness.datasets.disk import DiskSamples

MAX_TARGETS = 10  # real targets whose constants are kept


def baseline(dataset: Dataset) -> dict[str, Any]:
    """Score the constants that fit the training split best, on each split.

    Returns:
        For classes `{"majority": {"class": name, "train": share, ..., "classes": {"train": count, ...}}}`: the share of
        the most frequent class of the training split, and the number of classes that each split has samples of.
        For real targets `{"mean": {"value": [D], "train": error, ...}, "median": ...}`: the mean squared error of the
        training mean, and the mean absolute error of the training median.
        Empty for other targets and for data that is read sample by sample.
    """
    counts = split_counts(dataset)
    if counts is not None:
        most = int(counts[0].argmax())
        shares = {split: int(count[most]) / int(count.sum()) for split, count in zip(SPLITS, counts, strict=True)}
        present = {split: int((count > 0).sum()) for split, count in zip(SPLITS, counts, strict=True)}
        return {"majority": {"class": dataset.classes[most]} | shares | {"classes": present}}
    parts = [dataset.part(split) for split in SPLITS]
    if dataset.target != "real" or not all(isinstance(part, Samples | DiskSamples) and size(part) for part in parts):
        return {}
    train, *_ = targets = [_targets(part).double() for part in parts]
    mean, median = train.mean(0), train.median(0).values
    return {
        "mean": _errors(mean, [(y - mean).square() for y in targets]),
        "median": _errors(median, [(y - median).abs() for y in targets]),
    }


def _errors(constant: Tensor, errors: list[Tensor]) -> dict[str, Any]:
    means = {split: float(error.mean()) for split, error in zip(SPLITS, errors, strict=True)}
    return {"value": constant.tolist()[:MAX_TARGETS]} | means


def _targets(part: Any) -> Tensor:
    return part.y if isinstance(part, Samples) else torch.cat(list(part.blocks(part.y)))
