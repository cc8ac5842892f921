"""The iterables of a fit: chunks of batches for data in memory, or the batches of a DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from harness.datasets.dataset import Dataset as Data
from harness.datasets.dataset import Samples
from harness.datasets.disk import DiskSamples
from harness.training.diagnostics.system import TimedLoader
from harness.training.ending import convert_stop_iteration
from harness.training.plan import Plan, shard

CHUNK = 64  # steps between two checks of the losses, of signals and of Lightning's callbacks


class Chunk:
    """Batches `first` to `last - 1` of an epoch.

    It is no dataclass: Lightning traverses dataclasses and refuses frozen ones.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last


class Chunks:
    """The chunks of an epoch. A DataLoader would cost more than the indices that it yields."""

    def __init__(self, plan: Plan) -> None:
        step = max(1, CHUNK // plan.accumulate) * plan.accumulate
        self.bounds = [(b, min(b + step, plan.batches)) for b in range(0, plan.batches, step)]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[Chunk]:
        return (Chunk(*bounds) for bounds in self.bounds)


class OrderedBatches(Sampler[list[int]]):
    """Yield this process's indices of each global batch in the plan's order; each pass is the next epoch."""

    def __init__(self, plan: Plan, rank: int, world: int, first_epoch: int) -> None:
        self.plan, self.rank, self.world, self.epoch = plan, rank, world, first_epoch

    def __len__(self) -> int:
        return self.plan.batches

    def __iter__(self) -> Iterator[list[int]]:
        order = self.plan.order(self.epoch)
        self.epoch += 1
        for batch in range(self.plan.batches):
            local = shard(self.plan.size(batch), self.rank, self.world)
            first = batch * self.plan.batch_size + local.start
            yield order[first : first + local.count].tolist()


class Transformed(Dataset[Any]):
    """Apply the transforms to the inputs of a data set that is not in memory."""

    def __init__(self, source: Any, transforms: tuple[Callable[..., Any], ...]) -> None:
        self.source, self.transforms = source, transforms

    def __len__(self) -> int:
        return len(self.source)

    @convert_stop_iteration
    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = self.source[index]
        x = torch.as_tensor(x)
        for transform in self.transforms:
            x = transform(x[None])[0]
        return x, torch.as_tensor(y)

    @convert_stop_iteration
    def __getitems__(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch: inputs `[n, ...]` and targets `[n, ...]`."""
        if not isinstance(self.source, DiskSamples):
            x, y = zip(*(self[index] for index in indices), strict=True)
            return torch.stack(x), torch.stack(y)
        inputs, targets = self.source.take(torch.as_tensor(indices))
        for transform in self.transforms:
            inputs = transform(inputs)
        return inputs, targets


def _identity(batch: Any) -> Any:
    return batch


def make_loader(data: Data, plan: Plan, rank: int, world: int, first_epoch: int = 0) -> Chunks | TimedLoader:
    """Return the iterable over which Lightning fits.

    Args:
        data: The data set.
        plan: The plan of the run.
        rank: This process, counted from 0.
        world: The number of processes.
        first_epoch: The epoch with which the fit begins.
    """
    if isinstance(data.train, Samples):
        return Chunks(plan)
    return TimedLoader(
        Transformed(data.train, data.transforms),
        batch_sampler=OrderedBatches(plan, rank, world, first_epoch),
        collate_fn=_identity,  # `__getitems__` returns a batch already
        num_workers=data.workers,
        persistent_workers=data.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
