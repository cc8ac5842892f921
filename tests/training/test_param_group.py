"""Tests of the learning rate at every step, against its formula."""

import functools
import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from harness.registry.instantiate import component
from harness.training.param_group import Schedule

CONSTANT = functools.partial(component, "scheduler", {"_component_": "constant"})
COSINE = functools.partial(component, "scheduler", {"_component_": "cosine", "final": 0.1})


def optimizer(*rates):
    return torch.optim.SGD([{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in rates])


def used(made, make, total, warmup):
    """Return the learning rate of the first group at each step, and the schedule after the last."""
    schedule = Schedule(made, make, total, warmup)
    rates = []
    for _ in range(total):
        rates.append(schedule.lr)
        made.step()
        schedule.step()
    return rates, schedule


@pytest.mark.parametrize("warmup", [0, 1, 3, 10])
def test_warmup_is_linear_up_to_the_learning_rate(warmup):
    rates, _ = used(optimizer(0.4), CONSTANT, 10, warmup)
    assert rates == pytest.approx([0.4 * min(1, (t + 1) / max(1, warmup)) for t in range(10)])


@pytest.mark.parametrize("warmup", [0, 1, 4, 11])
def test_scheduler_runs_over_the_steps_after_the_warmup(warmup):
    total = 12
    rates, schedule = used(optimizer(0.4), COSINE, total, warmup)
    left = total - warmup
    grown = [0.4 * (t + 1) / warmup for t in range(warmup)]
    cosine = [0.4 * (0.1 + 0.9 * (1 + math.cos(math.pi * t / left)) / 2) for t in range(left)]
    assert rates == pytest.approx(grown + cosine)
    assert schedule.lr == pytest.approx(0.04)


def test_groups_keep_their_own_rates():
    sgd = optimizer(0.4, 0.1)
    schedule = Schedule(sgd, CONSTANT, 8, 4)
    for t in range(6):
        shares = [group["lr"] / lr for group, lr in zip(sgd.param_groups, (0.4, 0.1), strict=True)]
        assert shares == pytest.approx([min(1, (t + 1) / 4)] * 2)
        sgd.step()
        schedule.step()


def test_warmup_ends_at_the_schedulers_initial_rate():
    def make(optimizer, total_steps):
        return LinearLR(optimizer, start_factor=0.5, total_iters=total_steps)

    rates, _ = used(optimizer(1.0), make, 6, 2)
    assert rates == pytest.approx([0.25, 0.5, 0.5, 0.625, 0.75, 0.875])


def test_warmup_of_the_whole_run_leaves_the_scheduler_one_step():
    seen = []

    def make(optimizer, total_steps):
        seen.append(total_steps)
        return CosineAnnealingLR(optimizer, total_steps)

    rates, _ = used(optimizer(1.0), make, 5, 5)
    assert seen == [1]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
