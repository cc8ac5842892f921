"""Short ways to a trained run for the learner's tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import Dataset as TorchDataset

from harness import catalogue
from harness.app import Job, compose
from harness.build import Parts, build
from harness.dataset import SPLITS, Dataset, Samples
from harness.learner.fit import Run, fit, make_trainer
from harness.learner.member import Member
from harness.learner.plan import Plan
from harness.load_data import Loader
from harness.prepare import make_plan
from harness.resolve import resolve

FLOAT64 = ["trainer=cpu", "trainer.precision=64-true"]


class OnDisk(TorchDataset[Any]):
    """Samples behind the face of a data set that does not fit in memory."""

    def __init__(self, part: Samples) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.part.x[index], self.part.y[index]


def on_disk(dataset: Dataset, workers: int = 0) -> Dataset:
    """The same data set, not in memory."""
    parts: dict[str, Any] = {split: OnDisk(dataset.part(split)) for split in SPLITS}  # type: ignore[arg-type]
    return replace(dataset, **parts, digest="0" * 16, outputs=dataset.width, workers=workers)


Change = Callable[[Parts], None]
LOADER = Loader()  # the same few sets, again and again


@functools.lru_cache(256)
def _composed(overrides: tuple[str, ...]) -> Job:
    """The same line is trained alone and in several stacks: Hydra is asked once."""
    return compose(overrides)


def cohort(
    lines: list[list[str]],
    data: Callable[[Dataset], Dataset] = lambda dataset: dataset,
    change: Change = lambda parts: None,
    fused: bool = True,
    planned: Callable[[Plan], Plan] = lambda plan: plan,
) -> list[Run]:
    """Trains several runs as one cohort, without folders; all see the data of the first."""
    runs: list[Run] = []
    dataset: Dataset | None = None
    for overrides in lines:
        job = _composed(("trainer=cpu", *overrides) if "trainer=cpu" not in overrides else tuple(overrides))
        dataset = dataset or data(LOADER.load(job.values).dataset)
        values = resolve(job.values, dataset, catalogue.current())
        plan = planned(make_plan(job.settings, dataset, values))
        parts = build(values, dataset, plan.total_steps)
        change(parts)
        better = {name: bool(make().higher_is_better) for name, make in parts.metrics.items()}
        runs.append(Run(parts, plan, dataset, Member(parts.regularizers, better)))
    fit(make_trainer(runs[0].parts.values["trainer"], runs[0].plan, ""), runs, fused)
    return runs


def train(
    overrides: list[str],
    data: Callable[[Dataset], Dataset] = lambda dataset: dataset,
    change: Change = lambda parts: None,
) -> tuple[Member, dict[str, torch.Tensor], Parts]:
    """Trains one run alone: what it leaves, its weights, its parts."""
    (run,) = cohort([overrides], data, change, fused=False)
    return run.member, run.member.weights or {}, run.parts
