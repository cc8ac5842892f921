"""The arithmetic of a run: batches, steps, shares and orders."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.training.plan import Plan, shard

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
def test_steps_are_the_batches_that_end_one(plan):
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
def test_a_share_makes_the_mean_of_the_step_from_the_means_of_its_batches(plan):
    values = torch.rand(plan.n, dtype=torch.float64, generator=torch.Generator().manual_seed(plan.n))
    batches = values.split(plan.batch_size)
    for first in range(0, plan.batches, plan.accumulate):
        of_step = range(first, min(first + plan.accumulate, plan.batches))
        mean = sum(batches[b].mean() * plan.share(b) for b in of_step)
        torch.testing.assert_close(mean, torch.cat([batches[b] for b in of_step]).mean())


def test_an_order_is_a_function_of_seed_and_epoch():
    def plan(seed):
        return Plan(seed, epochs=2, batch_size=8, accumulate=1, warmup=0.0, n=64)

    assert torch.equal(plan(3).order(1), plan(3).order(1))
    assert not torch.equal(plan(3).order(1), plan(3).order(0))
    assert not torch.equal(plan(3).order(1), plan(4).order(1))


@properties
@given(total=st.integers(0, 1000), world=st.integers(1, 40))
def test_rows_partition_a_batch_as_evenly_as_can_be(total, world):
    parts = [shard(total, rank, world) for rank in range(world)]
    assert [i for part in parts for i in range(part.start, part.start + part.count)] == list(range(total))
    assert max(part.count for part in parts) - min(part.count for part in parts) <= 1
    assert {part.total for part in parts} == {total}
