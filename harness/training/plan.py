"""How many batches, steps and epochs a run has, and in which order it sees its samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.config import seeds
from harness.modeling.rng.noise import GlobalBatch


@dataclass(frozen=True)
class Plan:
    """The arithmetic of one run over n training samples, or over n tuples of `each` samples that are seen together."""

    seed: int
    epochs: int
    batch_size: int
    accumulate: int
    warmup: float
    n: int
    checkpoint_every: int = 0  # epochs; 0: never
    each: int = 1

    @property
    def batches(self) -> int:
        """Batches an epoch; the last may be smaller."""
        return math.ceil(self.n / self.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps an epoch."""
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
        """Samples in a batch."""
        return self.batch_size * self.each

    def size(self, batch: int) -> int:
        """Samples in an epoch's batch, or tuples."""
        return min(self.batch_size, self.n - batch * self.batch_size)

    def share(self, batch: int) -> float:
        """The batch's share of the samples of its step."""
        first = batch - batch % self.accumulate
        last = min(first + self.accumulate, self.batches)
        return self.size(batch) / sum(self.size(b) for b in range(first, last))

    def ends_step(self, batch: int) -> bool:
        """Whether the optimizer steps after this batch."""
        return (batch + 1) % self.accumulate == 0 or batch + 1 == self.batches

    def step_of(self, number: int) -> int:
        """The optimizer step to which a batch belongs, both counted over all epochs from 0.

        >>> [Plan(0, 2, 1, 2, 0.0, 3).step_of(number) for number in range(6)]
        [0, 0, 1, 2, 2, 3]
        """
        epoch, batch = divmod(number, self.batches)
        return epoch * self.steps + batch // self.accumulate

    def order(self, epoch: int) -> Tensor:
        """The order of n samples in an epoch: a function of seed and epoch."""
        return torch.randperm(self.n, generator=seeds.generator(self.seed, "order", epoch))


def rows(total: int, rank: int, world: int) -> GlobalBatch:
    """The samples of a global batch that a process holds: contiguous, and as even as can be.

    >>> [rows(7, rank, 2) for rank in range(2)]
    [GlobalBatch(start=0, count=4, total=7), GlobalBatch(start=4, count=3, total=7)]
    """
    each, more = divmod(total, world)
    start = rank * each + min(rank, more)
    return GlobalBatch(start, each + (rank < more), total)
