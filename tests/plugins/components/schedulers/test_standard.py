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


def test_constant_asks_for_no_scheduler():
    assert make("scheduler", "constant", optimizer=optimizer(0.1), total_steps=5) is None


def rates(name, total, lr=0.3, **settings):
    """The learning rate of every step, and the one after the last."""
    made = optimizer(lr)
    return walked(made, make("scheduler", name, settings, optimizer=made, total_steps=total), total)


def walked(made, scheduler, steps):
    found = [made.param_groups[0]["lr"]]
    for _ in range(steps):
        made.step()
        scheduler.step()
        found.append(made.param_groups[0]["lr"])
    return found


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


def test_one_cycle_is_torchs_where_its_phases_are_whole_steps():
    # torch counts both ends as steps of the cycle, and puts its top one step before the share
    made = optimizer(0.3)
    theirs = OneCycleLR(
        made, 0.3, total_steps=41, pct_start=11 / 41, div_factor=10, final_div_factor=10, cycle_momentum=False
    )
    assert rates("one_cycle", 40, rise=10 / 40, start=0.1, final=0.01) == pytest.approx(walked(made, theirs, 40))


@pytest.mark.parametrize(("total", "cycles", "stretch"), [(12, 4, 1.0), (12, 1, 1.0), (28, 3, 2.0), (6, 6, 1.0)])
def test_cosine_restarts_is_torchs_where_its_cycles_are_whole_steps(total, cycles, stretch):
    made = optimizer(0.3)
    first = round(total / sum(stretch**i for i in range(cycles)))
    theirs = CosineAnnealingWarmRestarts(made, first, int(stretch), eta_min=0.03)
    found = rates("cosine_restarts", total, cycles=cycles, stretch=stretch, final=0.1)
    assert found[:-1] == pytest.approx(walked(made, theirs, total)[:-1])
    assert found[-1] == pytest.approx(0.03)  # torch begins a cycle more after the last step


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    total=st.integers(1, 60),
    cycles=st.integers(1, 9),
    stretch=st.floats(0.5, 3),
    final=st.floats(0, 1),
)
def test_cosine_restarts_falls_from_the_rate_to_its_share_however_the_steps_fall(total, cycles, stretch, final):
    found = np.array(rates("cosine_restarts", total, lr=1.0, cycles=cycles, stretch=stretch, final=final))
    assert found[0] == pytest.approx(1)
    assert found[-1] == pytest.approx(final)
    assert (found >= final - 1e-12).all()
    assert (found <= 1 + 1e-12).all()
    assert (np.diff(found) > 1e-12).sum() <= cycles - 1


@pytest.mark.parametrize("name", ["step", "exponential", "one_cycle", "cosine_restarts"])
@pytest.mark.parametrize("warmup", [0, 3, 9])
def test_after_a_warmup_the_scheduler_has_the_steps_that_are_left(name, warmup):
    made = optimizer(0.3)
    schedule = Schedule(made, functools.partial(make, "scheduler", name), 20, warmup)
    found = walked(made, schedule, 20)
    own = rates(name, 20 - warmup)
    assert found == pytest.approx([*(own[0] * (t + 1) / warmup for t in range(warmup)), *own])
