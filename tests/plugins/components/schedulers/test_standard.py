import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR

from harness.training.param_group import Schedule
from tests.plugins.components.helpers import make


def optimizer(lr):
    return torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=lr)


def test_constant_makes_no_scheduler():
    assert make("scheduler", "constant", optimizer=optimizer(0.1), total_steps=5) is None


def rates(name, total, lr=0.3, **settings):
    """Return the learning rate of every step, and that after the last."""
    sgd = optimizer(lr)
    return walked(sgd, make("scheduler", name, settings, optimizer=sgd, total_steps=total), total)


def walked(made, scheduler, steps):
    learning_rates = [made.param_groups[0]["lr"]]
    for _ in range(steps):
        made.step()
        scheduler.step()
        learning_rates.append(made.param_groups[0]["lr"])
    return learning_rates


@pytest.mark.parametrize("total", [1, 2, 33])
@pytest.mark.parametrize(
    ("name", "settings", "share"),
    [
        ("cosine", {"final": 0.1}, lambda t, total: 0.1 + 0.9 * (1 + math.cos(math.pi * t / total)) / 2),
        ("step", {"every": 0.33, "factor": 0.5}, lambda t, total: 0.5 ** (t // max(1, round(0.33 * total)))),
        ("exponential", {"final": 0.02}, lambda t, total: 0.02 ** (t / total)),
    ],
)
def test_settings_are_shares_of_the_steps_and_of_the_learning_rate(name, settings, share, total):
    expected = [0.3 * share(t, total) for t in range(total + 1)]
    assert rates(name, total, **settings) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("total", "rise"), [(1, 0.3), (2, 0.5), (10, 0.1), (30, 0.3), (7, 0.9)])
def test_one_cycle_rises_and_falls_along_cosines(total, rise):
    top = rise * total

    def wave(s):
        return np.sin(np.pi * s / 2) ** 2

    times = np.arange(total + 1)
    up, down = 0.1 + 0.9 * wave(times / top), 1 - 0.99 * wave((times - top) / (total - top))
    expected = 0.3 * np.where(times < top, up, down)
    assert rates("one_cycle", total, rise=rise, start=0.1, final=0.01) == pytest.approx(list(expected))


def test_one_cycle_is_torchs_for_whole_step_phases():
    # torch counts both ends as steps of the cycle, and has its peak one step earlier
    sgd = optimizer(0.3)
    theirs = OneCycleLR(
        sgd, 0.3, total_steps=41, pct_start=11 / 41, div_factor=10, final_div_factor=10, cycle_momentum=False
    )
    assert rates("one_cycle", 40, rise=10 / 40, start=0.1, final=0.01) == pytest.approx(walked(sgd, theirs, 40))


@pytest.mark.parametrize(("total", "cycles", "stretch"), [(12, 4, 1.0), (12, 1, 1.0), (28, 3, 2.0), (6, 6, 1.0)])
def test_cosine_restarts_is_torchs_for_whole_step_cycles(total, cycles, stretch):
    sgd = optimizer(0.3)
    first = round(total / sum(stretch**i for i in range(cycles)))
    theirs = CosineAnnealingWarmRestarts(sgd, first, int(stretch), eta_min=0.03)
    learning_rates = rates("cosine_restarts", total, cycles=cycles, stretch=stretch, final=0.1)
    assert learning_rates[:-1] == pytest.approx(walked(sgd, theirs, total)[:-1])
    assert learning_rates[-1] == pytest.approx(0.03)  # torch begins another cycle after the last step


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    total=st.integers(1, 60),
    cycles=st.integers(1, 9),
    stretch=st.floats(0.5, 3),
    final=st.floats(0, 1),
)
def test_cosine_restarts_ends_at_its_final_share_for_any_steps(total, cycles, stretch, final):
    learning_rates = np.array(rates("cosine_restarts", total, lr=1.0, cycles=cycles, stretch=stretch, final=final))
    assert learning_rates[0] == pytest.approx(1)
    assert learning_rates[-1] == pytest.approx(final)
    assert (learning_rates >= final - 1e-12).all()
    assert (learning_rates <= 1 + 1e-12).all()
    assert (np.diff(learning_rates) > 1e-12).sum() <= cycles - 1


@pytest.mark.parametrize("name", ["step", "exponential", "one_cycle", "cosine_restarts"])
@pytest.mark.parametrize("warmup", [0, 3, 9])
def test_scheduler_runs_over_the_steps_after_the_warmup(name, warmup):
    sgd = optimizer(0.3)
    schedule = Schedule(sgd, functools.partial(make, "scheduler", name), 20, warmup)
    learning_rates = walked(sgd, schedule, 20)
    own = rates(name, 20 - warmup)
    assert learning_rates == pytest.approx([*(own[0] * (t + 1) / warmup for t in range(warmup)), *own])
