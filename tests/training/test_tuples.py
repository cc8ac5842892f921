"""Samples that a task sees together: in training, in evaluation, alone and fused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from harness.datasets.dataset import Part, Samples
from harness.modeling.builder import RunComponents
from harness.modeling.rng.noise import Noise
from harness.modeling.task import Batch, Call, Task
from harness.training.plan import Plan, epoch_order
from tests.training.helpers import FLOAT64, cohort

LINE = [*FLOAT64, "epochs=2", "batch_size=7", "accumulate=2", "task=classification", "model=mlp", "model.width=9"]


class Halves(Task):
    """Pairs of training samples whose predictions count half; samples are evaluated by themselves."""

    def tuples(self, part: Part, split: str, generator: Generator) -> Tensor | None:
        assert isinstance(part, Samples)
        if split != "train":
            return None
        return torch.randperm(len(part), generator=generator)[:100].view(50, 2)

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        x, y = batch
        assert len(x) in (2 * 7, 2 * (50 % 7))
        return {"model": (self.loss(call(x[::2]), y[::2]) + self.loss(call(x[1::2]), y[1::2])) / 2}


class Together(Halves):
    """The same, and every two samples that are evaluated come as one tuple."""

    def tuples(self, part: Part, split: str, generator: Generator) -> Tensor | None:
        assert isinstance(part, Samples)
        whole = torch.arange(len(part) // 2 * 2).view(-1, 2)
        return super().tuples(part, split, generator) if split == "train" else whole


def trained(kind: type[Task], fused: bool, seeds: tuple[int, ...]) -> list[dict[str, float]]:
    def change(parts: RunComponents) -> None:
        parts.task = kind(parts.task.loss)

    runs = cohort([[*LINE, f"seed={seed}"] for seed in seeds], change=change, fused=fused, planned=of_pairs)
    return [run.state.metrics for run in runs]


def of_pairs(plan: Plan) -> Plan:
    return replace(plan, n=50, each=2)


def test_pairs_are_batches_alone_and_fused() -> None:
    """Pairs that are halves of one mean are a batch of twice the size."""
    alone = [trained(Halves, False, (seed,))[0] for seed in (1, 2)]
    assert [pytest.approx(metrics, rel=1e-6) for metrics in alone] == trained(Halves, True, (1, 2))
    together = trained(Together, False, (1,))[0]
    assert together["train/loss"] == alone[0]["train/loss"]
    assert together["test/loss"] == pytest.approx(alone[0]["test/loss"], rel=1e-9)  # 360 samples, 180 pairs
    assert together == pytest.approx(trained(Together, True, (1, 2))[0], rel=1e-6)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    part = Samples(torch.zeros(120, 1), torch.zeros(120, dtype=torch.int64))
    task = Halves(lambda prediction, target: prediction)
    plan = Plan(3, 2, 7, 1, 0.0, 50, each=2)
    drawn = epoch_order(task, part, plan, 1)
    assert drawn.shape == (100,)
    assert torch.equal(drawn, epoch_order(task, part, plan, 1))
    assert not torch.equal(drawn, epoch_order(task, part, plan, 0))
    assert not torch.equal(drawn, epoch_order(task, part, replace(plan, seed=4), 1))
    assert torch.equal(epoch_order(Task(task.loss), part, plan, 1), plan.order(1))
