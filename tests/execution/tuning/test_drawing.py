"""Tests of the settings that a search tries."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.execution.tuning.drawing import grid_settings, random_settings, tpe_rounds, tpe_settings
from harness.execution.tuning.search_space import Dimension
from harness.results.tuning import Trial
from harness.space import Choice, Integers, Log, Uniform

quick = settings(max_examples=100, deadline=None, derandomize=True)
LR = {"optimizer.lr": Dimension(Log(1e-5, 1e-1), "optimizer.0.lr")}


def test_random_trials_are_distributed_as_their_space() -> None:
    rates = [math.log10(random_settings(LR, "s", place)["optimizer.lr"]) for place in range(2000)]
    assert scipy.stats.kstest(rates, scipy.stats.uniform(-5, 4).cdf).pvalue > 0.01


def test_settings_of_one_trial_are_independent() -> None:
    both = {**LR, "p": Dimension(Uniform(0, 1), "regularizer.0.p")}
    drawn = [random_settings(both, "s", place) for place in range(2000)]
    rank = scipy.stats.spearmanr([d["optimizer.lr"] for d in drawn], [d["p"] for d in drawn])
    assert rank.pvalue > 0.01


def test_contestants_that_differ_in_the_component_are_tried_at_the_same_shares() -> None:
    wider = {"optimizer.lr": Dimension(Log(1e-4, 1), "optimizer.0.lr")}
    for place in range(5):
        one, other = (random_settings(space, "s", place)["optimizer.lr"] for space in (LR, wider))
        assert other == pytest.approx(10 * one, rel=1e-3, abs=0)
    assert random_settings(LR, "another", 0) != random_settings(LR, "s", 0)


@quick
@given(budget=st.integers(1, 200), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_grid_is_regular_and_within_its_budget(budget: int, sizes: list[int]) -> None:
    spaces: list[Any] = [Choice(*range(size)) if size > 1 else Uniform(0, 1) for size in sizes]
    space = {f"k{place}": Dimension(one, f"k{place}") for place, one in enumerate(spaces)}
    rows = grid_settings(space, budget)
    levels = [len({row[key] for row in rows}) for key in space]
    assert len(rows) == math.prod(levels) <= budget
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    for place, one in enumerate(spaces):  # no value more fits
        more = math.prod(levels) // levels[place] * (levels[place] + 1) <= budget
        assert not more or levels[place] == len(getattr(one, "options", range(10**9)))


def test_grid_spreads_values_over_the_space() -> None:
    values = [row["n"] for row in grid_settings({"n": Dimension(Integers(1, 4), "n")}, 10)]
    assert values == [1, 2, 3, 4]
    rates = [row["optimizer.lr"] for row in grid_settings(LR, 4)]
    assert rates == pytest.approx([10**-4.5, 10**-3.5, 10**-2.5, 10**-1.5], rel=1e-3, abs=0)


@quick
@given(budget=st.integers(1, 300))
def test_rounds_of_tpe_add_up_to_the_budget(budget: int) -> None:
    rounds = tpe_rounds(budget)
    assert sum(rounds) == budget
    assert all(size > 0 for size in rounds)


def searched(budget: int, stream: str, score: Any) -> list[Trial]:
    rounds, trials = tpe_rounds(budget), []
    for number in range(len(rounds)):
        for row in tpe_settings(LR, stream, rounds[: number + 1], trials, True):
            value = score(row["optimizer.lr"])
            trials.append(Trial(row, ("0" * 12,), ("completed",), (value,), (math.nan,), 1))
    return trials


def parabola(lr: float) -> float:
    return -((math.log10(lr) + 2.5) ** 2)


def test_tpe_is_a_function_of_its_stream_and_results() -> None:
    first, again = (searched(16, "s", parabola) for _ in range(2))
    assert [t.settings for t in first] == [t.settings for t in again]
    assert [t.settings for t in first] != [t.settings for t in searched(16, "other", parabola)]


def test_tpe_comes_nearer_to_an_optimum_than_random_search() -> None:
    def late(trials: list[Trial]) -> float:
        return statistics.median(t.values[0] for t in trials[16:])

    tpe = [late(searched(32, f"s{seed}", parabola)) for seed in range(5)]
    drawn = [random_settings(LR, f"s{seed}", place)["optimizer.lr"] for seed in range(5) for place in range(16)]
    assert statistics.median(tpe) > statistics.median(map(parabola, drawn))


def test_tpe_goes_on_after_trials_that_failed() -> None:
    trials = searched(12, "s", lambda lr: math.nan if lr > 1e-3 else parabola(lr))
    assert len(trials) == 12
    assert any(math.isnan(t.score) for t in trials)
