"""The plan of a run: its batches, steps and epochs, and the order of its samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.config import seeds
from harness.datasets.dataset import Part
from harness.modeling.rng.noise import GlobalBatch
from harness.modeling.task import Task


@dataclass(frozen=True)
class Plan:
    """Count the batches and steps of one run.

    An item is a sample or, for a task that sees samples together (episodes, pairs), a tuple of samples. Batches are
    numbered from 0 within an epoch.

    Attributes:
        seed: The run's seed.
        epochs: Epochs to train.
        batch_size: Items in a batch.
        accumulate: Batches in an optimizer step.
        warmup: Share of the steps over which the learning rate grows, in [0, 1).
        n: Items in the training split.
        checkpoint_every: Epochs between two checkpoints; 0 writes none.
        each: Samples in an item.
        test: False for a trial of tuning, which is never evaluated on the test split.
    """

    seed: int
    epochs: int
    batch_size: int
    accumulate: int
    warmup: float
    n: int
    checkpoint_every: int = 0
    each: int = 1
    test: bool = True

    @property
    def batches(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(self.n / self.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return math.ceil(self.batches / self.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps

    @property
    def warmup_steps(self) -> int:
        """Steps over which the learning rate grows from near zero."""
        return round(self.warmup * self.total_steps)

    @property
    def samples(self) -> int:
        """Samples in a full batch."""
        return self.batch_size * self.each

    def size(self, batch: int) -> int:
        """Return the number of items in a batch of an epoch."""
        return min(self.batch_size, self.n - batch * self.batch_size)

    def share(self, batch: int) -> float:
        """Return a batch's share of the items of its optimizer step."""
        first = batch - batch % self.accumulate
        last = min(first + self.accumulate, self.batches)
        return self.size(batch) / sum(self.size(b) for b in range(first, last))

    def ends_step(self, batch: int) -> bool:
        """Return True if the optimizer steps after this batch."""
        return (batch + 1) % self.accumulate == 0 or batch + 1 == self.batches

    def step_of(self, number: int) -> int:
        """Return the optimizer step to which a batch belongs, both counted over all epochs from 0.

        >>> [Plan(0, 2, 1, 2, 0.0, 3).step_of(number) for number in range(6)]
        [0, 0, 1, 2, 2, 3]
        """
        epoch, batch = divmod(number, self.batches)
        return epoch * self.steps + batch // self.accumulate

    def order(self, epoch: int) -> Tensor:
        """Return the order of the n items in an epoch, int64 `[n]`: a function of seed and epoch."""
        return torch.randperm(self.n, generator=seeds.generator(self.seed, "order", epoch))


def shard(total: int, rank: int, world: int) -> GlobalBatch:
    """Return the part of a global batch that one process holds: contiguous, and as even as possible.

    Args:
        total: Items in the global batch.
        rank: The process, counted from 0.
        world: The number of processes.

    >>> [shard(7, rank, 2) for rank in range(2)]
    [GlobalBatch(start=0, count=4, total=7), GlobalBatch(start=4, count=3, total=7)]
    """
    each, more = divmod(total, world)
    start = rank * each + min(rank, more)
    return GlobalBatch(start, each + (rank < more), total)


def epoch_order(task: Task, part: Part, plan: Plan, epoch: int) -> Tensor:
    """Return the indices of the training samples in the order of an epoch, int64 `[n · each]`.

    The order is a function of the run's seed and the epoch.
    """
    tuples = task.tuples(part, "train", seeds.generator(plan.seed, "order", epoch))
    return plan.order(epoch) if tuples is None else tuples.flatten()


def evaluation_tuples(task: Task, part: Part, split: str, seed: int) -> Tensor | None:
    """Return the samples of a split that are evaluated together.

    Args:
        task: The task, which draws the tuples.
        part: The samples of the split.
        split: The split's name.
        seed: The seed of the split, `split.seed`.

    Returns:
        Indices of samples, int64 `[tuples, samples]`; None if each sample is evaluated by itself.
    """
    return task.tuples(part, split, seeds.generator(seed, "tuples", split))
