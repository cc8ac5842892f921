"""Compute the score of a constant prediction, which a model has to beat."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.datasets.dataset import SPLITS, Dataset, Samples, size
from harness.datasets.disk import DiskSamples


def baseline(dataset: Dataset) -> dict[str, Any]:
    """Score the most frequent class of the training split by its share, or the mean target by its squared error.

    Returns:
        `{"majority": {"class": name, "train": share, ...}}` for classes, `{"mean": {"value": [D], "train": error}}` for
        real targets, with a score for each split; empty for other targets and for data that is read sample by sample.
    """
    parts = [dataset.part(split) for split in SPLITS]
    if dataset.target not in ("class", "real") or not all(
        isinstance(p, Samples | DiskSamples) and size(p) for p in parts
    ):
        return {}
    train, *_ = targets = [_targets(part) for part in parts]
    if dataset.target == "class":
        most = int(train.bincount().argmax())
        shares = {split: float((y == most).double().mean()) for split, y in zip(SPLITS, targets, strict=True)}
        return {"majority": {"class": dataset.classes[most]} | shares}
    mean = train.double().mean(0)
    errors = {split: float((y.double() - mean).square().mean()) for split, y in zip(SPLITS, targets, strict=True)}
    return {"mean": {"value": mean.tolist()[:10]} | errors}


def _targets(part: Any) -> Tensor:
    return part.y if isinstance(part, Samples) else torch.cat(list(part.blocks(part.y)))
