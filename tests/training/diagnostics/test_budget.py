"""Tests of the diagnostic budget, with a simulated clock."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.training.diagnostics.budget import (
    CLOCKED,
    EPOCHS,
    FLOOR_S,
    FLOOR_SHARE,
    MINIMUM,
    NEVER,
    Budget,
    level,
    widened,
)

costs = st.dictionaries(st.sampled_from("abcde"), st.floats(1e-6, 1.0), min_size=1)
SHARE = st.floats(0.001, 2.0)


def played(costs, every, share, steps, step_s):
    """Simulate a run of equal steps; return what was measured at each step, its cost, and the time of training."""
    budget, clock, seen = Budget(every, share, steps), 0.0, {}
    for step in range(steps):
        if step >= budget.next and (names := budget.due(step, clock)):
            clock += sum(costs[name] for name in names)
            seen[step] = names
            clock += step_s
            budget.measured({name: costs[name] for name in names}, step, clock)
        else:
            clock += step_s
    return budget, seen, steps * step_s


@settings(max_examples=150, deadline=None)
@given(costs, SHARE, st.integers(1, 400), st.floats(1e-4, 1e-2))
def test_spent_time_stays_within_the_share_or_the_minimum(costs, share, steps, step_s):
    every = dict.fromkeys(costs, 1)
    budget, seen, trained = played(costs, every, share, steps, step_s)
    assert seen[0] == list(costs)  # the first step is measured, whatever it costs
    # the cost of a first measurement is predicted as half of what it took: the last may cost twice as much
    minimum = sum(
        min(2 * cost * (MINIMUM + 4), 2 * max(FLOOR_S, FLOOR_SHARE * trained) + 5 * cost) for cost in costs.values()
    )
    assert budget.spent <= share * trained + minimum
    assert budget.spent == pytest.approx(sum(costs[name] for names in seen.values() for name in names), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(costs, st.dictionaries(st.sampled_from("abcde"), st.integers(1, 40)), SHARE, st.floats(1e-5, 1.0))
def test_intervals_double_until_all_diagnostics_fit(costs, every, share, step_s):
    every = {name: every.get(name, 10) for name in costs}
    rates = {name: costs[name] / (every[name] * step_s) for name in costs}
    most = level(rates, share)
    intervals = {name: widened(every[name], rates[name], most) for name in costs}
    for name, interval in intervals.items():
        assert math.log2(interval / every[name]) % 1 == 0
    assert sum(costs[name] / (interval * step_s) for name, interval in intervals.items()) <= share * (1 + 1e-6)
    cheap = [name for name in costs if rates[name] <= share / len(costs) * (1 - 1e-9)]
    assert all(intervals[name] == every[name] for name in cheap)  # a diagnostic within its part keeps its interval


@settings(max_examples=60, deadline=None)
@given(costs, SHARE, st.integers(12, 3000), st.floats(1e-4, 1e-2), st.integers(0, 20))
def test_cheap_diagnostics_get_their_minimum_of_measurements(costs, share, steps, step_s, every):
    costs = {name: cost / 100 for name, cost in costs.items()}  # ten measurements take a tenth of a second
    _, seen, _ = played(costs, dict.fromkeys(costs, every), share, steps, step_s)
    for name in costs:
        own = [step for step, names in seen.items() if name in names]
        assert own[0] == 0
        assert own[-1] == steps - 1
        requested = len(range(every or 1, steps - 1, every or 1))
        assert len(own) - 2 >= min(MINIMUM, requested)
        assert max(b - a for a, b in itertools.pairwise(own)) <= max(every, 1, (steps - 2) // MINIMUM)


def test_expensive_diagnostic_does_not_slow_down_cheap_ones():
    cost = {"cheap": 1e-4, "dear": 0.2}
    _, alone, _ = played({"cheap": 1e-4}, {"cheap": 0}, 0.05, 1000, 1e-3)
    _, seen, _ = played(cost, {"cheap": 0, "dear": 0}, 0.05, 1000, 1e-3)
    counts = {name: sum(name in names for names in seen.values()) for name in cost}
    assert counts["dear"] in (4, 5)  # the first two, the last, and as many between as half of the time allows
    assert counts["cheap"] >= 0.4 * len(alone) >= 12


def test_measured_steps_do_not_depend_on_the_clock_at_the_minimum():
    schedules = {tuple(played({"a": cost}, {"a": 0}, 0.05, 108, 5e-4)[1]) for cost in (0.001, 0.003, 0.01)}
    assert schedules == {(0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 107)}


def test_resumed_run_is_measured_again():
    budget, seen = Budget({"a": 0}, 0.05, 200), []
    for step in range(100, 200):
        clock = (step - 100) * 1e-3
        if step >= budget.next and budget.due(step, clock):
            seen.append(step)
            budget.measured({"a": 1e-4}, step, clock + 1e-3)
    assert seen[0] == 100
    assert seen[-1] == 199
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 19


def test_nearly_free_diagnostics_keep_their_interval_and_the_last_step():
    _, seen, _ = played({"a": 1e-9, "b": 1e-9}, {"a": 7, "b": 3}, 0.05, 24, 1e-3)
    assert [step for step, names in seen.items() if "a" in names] == [0, 7, 14, 21, 23]
    assert [step for step, names in seen.items() if "b" in names] == [0, 3, 6, 9, 12, 15, 18, 21, 23]


def test_budget_is_reserved_for_the_last_step():
    _, seen, _ = played({"a": 0.01}, {"a": 1}, 0.0625, 20_000, 1e-3)
    assert max(seen) == 19_999
    assert 40 <= len(seen) <= 75  # 60% of 6.25% of 20 seconds


def test_default_interval_is_a_hundredth_and_zero_share_measures_only_the_first_step():
    assert Budget({"a": 0}, 1.0, 5000).costs["a"].interval == 50
    assert list(played({"a": 1e-3}, {"a": 0}, 0.0, 500, 1e-3)[1]) == [0]
    assert widened(1, 1.0, 0.0) == NEVER
    assert level({}, 0.5) == 0.5


def test_dropped_diagnostic_is_never_due():
    budget = Budget({"a": 1, "b": 5}, 1.0, 100)
    budget.due(0, 0.0)
    budget.drop("a")
    budget.measured({"b": 1e-6}, 0, 1e-3)
    assert budget.next == 5
    budget.drop("b")
    assert budget.next == NEVER


def test_write_time_counts_as_cost():
    budget = Budget({"a": 1, "b": 1}, 1.0, 10)
    budget.measured({"a": 1.0, "b": 2.0}, 0, 10.0)
    budget.add_write_cost(["a", "b"], 0.5)
    assert budget.spent == 3.5
    assert budget.costs["a"].spent == 1.25


def test_epoch_costs_reduce_step_measurements_but_not_below_the_minimum():
    looks = {}
    for epochs in (0.0, 0.2, 10.0):
        budget, clock = Budget({"a": 1}, 0.1, 10_000), 0.0
        budget.epoch_spent, clock = epochs, epochs
        for step in range(10_000):
            due = budget.due(step, clock)
            clock += 1e-3
            if due:
                clock += 0.002
                budget.measured({"a": 0.002}, step, clock)
        looks[epochs] = budget.costs["a"].count
        assert budget.spent - budget.epoch_spent <= 0.1 * 10.0
    assert looks[0.0] > looks[0.2] >= looks[10.0] >= 12


def test_epochs_use_half_of_the_clocked_share():
    budget, clock, epochs = Budget({}, 0.1, 1000, epochs=1000), 0.0, []
    for epoch in range(1000):
        clock += 0.01
        if budget.epoch_due(epoch, clock):
            epochs.append(epoch)
            clock += 0.001
            budget.epoch_measured(0.001)
            assert (
                epoch % 99 == 0
                or epoch == 999
                or budget.epoch_spent <= EPOCHS * CLOCKED * 0.1 * (clock - budget.spent) + 1e-9
            )
    assert epochs[0] == 0
    assert 290 <= len(epochs) <= 302


def test_free_epochs_are_all_measured_and_zero_share_measures_only_the_first():
    for share, count in ((0.1, 10), (0.0, 1)):
        budget, measured = Budget({}, share, 1000, epochs=10), 0
        for epoch in range(10):
            if budget.epoch_due(epoch, epoch + 1.0):
                measured += 1
                budget.epoch_measured(1e-6)
        assert measured == count


def test_epochs_have_a_minimum_of_measurements():
    budget, epochs = Budget({}, 0.05, 10_000, epochs=108), []
    for epoch in range(108):
        if budget.epoch_due(epoch, epoch + 1.0):
            epochs.append(epoch)
            budget.epoch_measured(10.0)
    assert epochs == [*range(0, 101, 10), 107]
