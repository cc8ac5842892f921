"""What Lightning's loop iterates over: chunks of batches of tensors in memory, or an ordinary loader's batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from harness.datasets.dataset import Dataset as Data
from harness.datasets.dataset import Samples
from harness.datasets.disk import DiskSamples
from harness.training.diagnostics.system import TimedLoader
from harness.training.ending import raising
from harness.training.plan import Plan, rows

CHUNK = 64  # steps between two looks at the losses, at signals and at Lightning's callbacks


class Chunk:
    """Batches first .. last - 1 of an epoch. No dataclass: Lightning looks into those, and refuses frozen ones."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last


class Chunks:
    """The chunks of an epoch. No DataLoader: it would cost more than it hands over."""

    def __init__(self, plan: Plan) -> None:
        step = max(1, CHUNK // plan.accumulate) * plan.accumulate
        self.bounds = [(b, min(b + step, plan.batches)) for b in range(0, plan.batches, step)]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[Chunk]:
        return (Chunk(*bounds) for bounds in self.bounds)


class OrderedBatches(Sampler[list[int]]):
    """This process's indices of each global batch, in the plan's order; each pass is the next epoch."""

    def __init__(self, plan: Plan, rank: int, world: int, first: int) -> None:
        self.plan, self.rank, self.world, self.epoch = plan, rank, world, first

    def __len__(self) -> int:
        return self.plan.batches

    def __iter__(self) -> Iterator[list[int]]:
        order = self.plan.order(self.epoch)
        self.epoch += 1
        for batch in range(self.plan.batches):
            mine = rows(self.plan.size(batch), self.rank, self.world)
            first = batch * self.plan.batch_size + mine.start
            yield order[first : first + mine.count].tolist()


class Transformed(Dataset[Any]):
    """A data set that is not in memory, with the transforms on each input; asked for several, it gives a batch."""

    def __init__(self, source: Any, transforms: tuple[Callable[..., Any], ...]) -> None:
        self.source, self.transforms = source, transforms

    def __len__(self) -> int:
        return len(self.source)

    @raising
    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = self.source[index]
        x = torch.as_tensor(x)
        for transform in self.transforms:
            x = transform(x[None])[0]
        return x, torch.as_tensor(y)

    @raising
    def __getitems__(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if not isinstance(self.source, DiskSamples):
            x, y = zip(*(self[index] for index in indices), strict=True)
            return torch.stack(x), torch.stack(y)
        inputs, targets = self.source.take(torch.as_tensor(indices))
        for transform in self.transforms:
            inputs = transform(inputs)
        return inputs, targets


def _as_it_is(batch: Any) -> Any:
    return batch


def loader(data: Data, plan: Plan, rank: int, world: int, first: int = 0) -> Chunks | TimedLoader:
    """What a fit iterates over; `first` is the epoch that it begins with."""
    if isinstance(data.train, Samples):
        return Chunks(plan)
    return TimedLoader(
        Transformed(data.train, data.transforms),
        batch_sampler=OrderedBatches(plan, rank, world, first),
        collate_fn=_as_it_is,  # `__getitems__` has made a batch of them
        num_workers=data.workers,
        persistent_workers=data.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
