"""Samples that a task sees together (episodes, pairs): which they are, in training and in evaluation."""

from __future__ import annotations

from torch import Tensor

from harness.config import seeds
from harness.datasets.dataset import Part
from harness.modeling.task import Task
from harness.training.plan import Plan


def order(task: Task, part: Part, plan: Plan, epoch: int) -> Tensor:
    """The training samples in the order in which an epoch sees them, [n · each]: a function of seed and epoch."""
    drawn = task.tuples(part, "train", seeds.generator(plan.seed, "order", epoch))
    return plan.order(epoch) if drawn is None else drawn.flatten()


def evaluated(task: Task, part: Part, split: str, seed: int) -> Tensor | None:
    """What is evaluated together of a split, [T, S], drawn by the split's seed; None: each sample by itself."""
    return task.tuples(part, split, seeds.generator(seed, "tuples", split))
