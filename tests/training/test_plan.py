"""Tests of the plan of a run: batches, steps, shares and orders, and samples that a task takes together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from harness.datasets.dataset import Part, Samples
from harness.modeling.builder import RunComponents
from harness.modeling.rng.noise import Noise
from harness.modeling.task import Batch, Call, Task
from harness.training.plan import Plan, epoch_order, shard
from tests.training.helpers import FLOAT64, cohort

LINE = [*FLOAT64, "epochs=2", "batch_size=7", "accumulate=2", "task=classification", "model=mlp", "model.width=9"]
properties = settings(max_examples=100, deadline=None, derandomize=True)
PLANS = st.builds(
    Plan,
    seed=st.integers(0, 2**63 - 1),
    epochs=st.integers(1, 5),
    batch_size=st.integers(1, 40),
    accumulate=st.integers(1, 5),
    warmup=st.floats(0, 0.99),
    n=st.integers(1, 120),
)


@properties
@given(PLANS)
def test_batches_hold_every_sample_once(plan):
    order = plan.order(0)
    batches = [order[b * plan.batch_size :][: plan.batch_size] for b in range(plan.batches)]
    assert [len(batch) for batch in batches] == [plan.size(b) for b in range(plan.batches)]
    assert min(len(batch) for batch in batches) >= 1
    assert torch.equal(torch.cat(batches).sort().values, torch.arange(plan.n))


@properties
@given(PLANS)
def test_steps_end_at_the_last_batch_of_their_group(plan):
    steps, share, of_step = [], 0.0, 0
    for batch in range(plan.batches):
        share += plan.share(batch)
        of_step += 1
        if plan.ends_step(batch):
            assert math.isclose(share, 1, rel_tol=1e-9, abs_tol=1e-9)
            steps.append(of_step)
            share, of_step = 0.0, 0
    assert of_step == 0
    assert len(steps) == plan.steps
    assert all(count == plan.accumulate for count in steps[:-1])
    assert plan.total_steps == plan.epochs * len(steps)
    assert 0 <= plan.warmup_steps <= plan.total_steps


@properties
@given(PLANS)
def test_shares_weight_batch_means_into_the_mean_of_a_step(plan):
    values = torch.rand(plan.n, dtype=torch.float64, generator=torch.Generator().manual_seed(plan.n))
    batches = values.split(plan.batch_size)
    for first in range(0, plan.batches, plan.accumulate):
        of_step = range(first, min(first + plan.accumulate, plan.batches))
        mean = sum(batches[b].mean() * plan.share(b) for b in of_step)
        torch.testing.assert_close(mean, torch.cat([batches[b] for b in of_step]).mean())


def test_order_depends_on_seed_and_epoch():
    def plan(seed):
        return Plan(seed, epochs=2, batch_size=8, accumulate=1, warmup=0.0, n=64)

    assert torch.equal(plan(3).order(1), plan(3).order(1))
    assert not torch.equal(plan(3).order(1), plan(3).order(0))
    assert not torch.equal(plan(3).order(1), plan(4).order(1))


@properties
@given(total=st.integers(0, 1000), world=st.integers(1, 40))
def test_shards_partition_a_batch_evenly(total, world):
    parts = [shard(total, rank, world) for rank in range(world)]
    assert [i for part in parts for i in range(part.start, part.start + part.count)] == list(range(total))
    assert max(part.count for part in parts) - min(part.count for part in parts) <= 1
    assert {part.total for part in parts} == {total}


class Halves(Task):
    """Pairs of training samples whose predictions count half; evaluation takes single samples."""

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
    """As Halves, with pairs in evaluation too."""

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


def test_pairs_match_batches_alone_and_fused() -> None:
    """Pairs that are halves of one mean equal a batch of twice the size."""
    alone = [trained(Halves, False, (seed,))[0] for seed in (1, 2)]
    assert [pytest.approx(metrics, rel=1e-6) for metrics in alone] == trained(Halves, True, (1, 2))
    together = trained(Together, False, (1,))[0]
    assert together["train/loss"] == alone[0]["train/loss"]
    assert together["test/loss"] == pytest.approx(alone[0]["test/loss"], rel=1e-9)  # 360 samples, 180 pairs
    assert together == pytest.approx(trained(Together, True, (1, 2))[0], rel=1e-6)


def test_order_of_pairs_depends_on_seed_and_epoch() -> None:
    part = Samples(torch.zeros(120, 1), torch.zeros(120, dtype=torch.int64))
    task = Halves(lambda prediction, target: prediction)
    plan = Plan(3, 2, 7, 1, 0.0, 50, each=2)
    drawn = epoch_order(task, part, plan, 1)
    assert drawn.shape == (100,)
    assert torch.equal(drawn, epoch_order(task, part, plan, 1))
    assert not torch.equal(drawn, epoch_order(task, part, plan, 0))
    assert not torch.equal(drawn, epoch_order(task, part, replace(plan, seed=4), 1))
    assert torch.equal(epoch_order(Task(task.loss), part, plan, 1), plan.order(1))
