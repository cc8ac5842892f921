"""Validate the data set that a data component returned."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.datasets.dataset import SPLITS, Dataset, Samples, size
from harness.system.errors import HarnessError


def validate(dataset: Dataset, name: str) -> None:
    """Refuse a data set that cannot be trained on.

    Args:
        dataset: The data set.
        name: Name of the data, for the message.

    Raises:
        HarnessError: At the first mistake.
    """
    for split in SPLITS:
        part = dataset.part(split)
        if size(part) == 0:
            raise HarnessError(f"data {name}: the {split} split is empty")
        if not isinstance(part, Samples):
            continue
        if len(part.x) != len(part.y):
            raise HarnessError(f"data {name}: {split} has {len(part.x)} inputs and {len(part.y)} targets")
        if not part.x.numel():
            raise HarnessError(f"data {name}: the inputs hold no numbers: a sample has shape {list(part.x.shape[1:])}")
        for label, tensor in (("inputs", part.x), ("targets", part.y)):
            # if the sum is finite, all terms are, and a sum takes no memory
            if not tensor.is_floating_point() or bool(torch.isfinite(tensor.sum())):
                continue
            bad = ~torch.isfinite(tensor)
            if bool(bad.any()):
                at = bad.nonzero()[0].tolist()
                raise HarnessError(f"data {name}: the {label} of the {split} split hold {tensor[tuple(at)]} at {at}")
        if (words := dataset.words) and (out := part.x[(part.x < 0) | (part.x >= words)]).numel():
            raise HarnessError(f"data {name}: word {out[0]} in the {split} split is not in 0 .. {words - 1}")
        if dataset.target == "class" and (out := part.y[(part.y < 0) | (part.y >= len(dataset.classes))]).numel():
            raise HarnessError(
                f"data {name}: class {out[0]} in the {split} split is not in 0 .. {len(dataset.classes) - 1}"
            )
        if dataset.target == "labels":
            _validate_labels(part.y, len(dataset.classes), f"data {name}: the targets of the {split} split")
    if dataset.target == "class" and len(dataset.classes) < 2:
        raise HarnessError(
            f"data {name}: there is only one class ({', '.join(dataset.classes)}); classification needs two"
        )
    if dataset.target == "class" and isinstance(dataset.train, Samples) and len(dataset.train.y.unique()) < 2:
        raise HarnessError(f"data {name}: the training split holds only one class; classification needs two")
    if dataset.target == "labels" and not dataset.classes:
        raise HarnessError(f"data {name}: labels need names, one for each column of the targets, in `classes`")
    if not dataset.in_memory and not dataset.digest:
        raise HarnessError(f"data {name}: splits that are not in memory need a digest")


def _validate_labels(y: Tensor, labels: int, where: str) -> None:
    if tuple(y.shape[1:]) != (labels,) or not y.is_floating_point():
        raise HarnessError(
            f"{where} must be float of shape [N, {labels}], one column per label, got {y.dtype} {list(y.shape)}"
        )
    if (odd := y[(y != 0) & (y != 1)]).numel():
        raise HarnessError(f"{where} hold {odd[0]:g}, but a label is 0 or 1")
