"""Shortcuts that train a run for the tests of training, and data that is not in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import Dataset as TorchDataset

from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.testing.training import FLOAT64, cohort, train

__all__ = ["FLOAT64", "OnDisk", "cohort", "on_disk", "train"]


class OnDisk(TorchDataset[Any]):
    """Samples with the interface of a data set that does not fit in memory."""

    def __init__(self, part: Samples) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.part.x[index], self.part.y[index]


def on_disk(dataset: Dataset, workers: int = 0) -> Dataset:
    """Return the same data set as one that is not in memory."""
    parts: dict[str, Any] = {split: OnDisk(dataset.part(split)) for split in SPLITS}  # type: ignore[arg-type]
    return replace(dataset, **parts, digest="0" * 16, outputs=dataset.width, workers=workers)
