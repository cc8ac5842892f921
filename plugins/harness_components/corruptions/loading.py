"""Corruptions of how samples are loaded, not of the samples."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Annotated

import torch.utils.data
from annotated_types import Ge
from torch import Tensor

import harness
from harness import SPLITS, Dataset, HarnessError, Samples
from harness.space import Log


class SlowSamples(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Samples in memory that are handed out as slowly as by a slow disk or network."""

    def __init__(self, samples: Samples, seconds: float) -> None:
        self.samples, self.seconds = samples, seconds

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return self.samples.x[index], self.samples.y[index]


@harness.corruption
def slow_loading(
    dataset: Dataset,
    *,
    seconds: Annotated[float, Log(1e-5, 1e-2), Ge(0), "seconds that loading a sample takes"] = 1e-3,
) -> Dataset:
    """Slow loading of the training samples, as from a slow disk or with costly decoding.

    Each sample takes `seconds`, in the training process itself. The samples are unchanged; diagnostic=[systems] shows
    the share of the time that training waits for them.

    >>> from harness import Split, from_arrays
    >>> x = torch.arange(100)
    >>> data = from_arrays(x[:, None].float(), x % 2, Split(), torch.Generator(), target="class", classes=range(2))
    >>> slow = slow_loading(data, seconds=0.0)
    >>> len(slow.train), slow.in_memory
    (64, False)
    """
    digest = hashlib.sha256()
    for split in SPLITS:
        part = dataset.part(split)
        if not isinstance(part, Samples):
            raise HarnessError("corruption slow_loading requires data in memory: set data.in_memory=true")
        for tensor in (part.x, part.y):
            digest.update(tensor.contiguous().numpy().tobytes())
    assert isinstance(dataset.train, Samples)
    slow = SlowSamples(dataset.train, seconds)
    outputs = dataset.width if dataset.target == "real" else 0
    return replace(dataset, train=slow, digest=digest.hexdigest()[:16], outputs=outputs)
