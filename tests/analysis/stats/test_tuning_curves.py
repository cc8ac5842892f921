"""Tests of tuning curves: the library opda, simulation, closed forms, and properties."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opda.nonparametric import EmpiricalDistribution
from scipy import stats

from harness.analysis.stats.tuning_curves import (
    best_so_far,
    inequality_band,
    order_statistics_band,
    probability_inside,
    tuning_curve,
)

properties = settings(max_examples=60, deadline=None, derandomize=True)
SCORES = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=25, unique=True)


@pytest.mark.parametrize(("n", "coverage"), [(8, 0.95), (32, 0.95), (32, 0.99)])
def test_band_agrees_with_opda_up_to_its_simulation(n, coverage):
    scores = np.random.default_rng(n).random(n)
    low, _, high = EmpiricalDistribution.confidence_bands(
        scores, coverage, 0.0, 1.0, method="ld_equal_tailed", generator=np.random.default_rng(1), n_jobs=1
    )
    expected_low, expected_high = order_statistics_band(n, coverage)
    np.testing.assert_allclose(low.cdf(np.sort(scores)), expected_low, rtol=0, atol=3e-3)
    below = np.nextafter(np.sort(scores), -1)
    np.testing.assert_allclose(high.cdf(below), expected_high, rtol=0, atol=3e-3)


@properties
@given(SCORES, st.booleans())
def test_curve_is_that_of_opda_for_the_same_band(scores, higher_is_better):
    """opda's quantiles of the three distributions, with our band in place of its simulated one."""
    curve = tuning_curve(scores, higher_is_better, support=(-11, 11))
    n, budgets = len(scores), np.arange(1, len(scores) + 1)
    low, high = order_statistics_band(n)
    points = np.concatenate([[-11], np.sort(scores), [11]])

    def quantiles(points, cdf):
        distribution = EmpiricalDistribution(points, ws=np.diff(cdf, prepend=0.0), a=-11, b=11)
        return distribution.quantile_tuning_curve(budgets, minimize=not higher_is_better)

    below = quantiles(points, np.concatenate([[0], low, [1]]))
    above = quantiles(points, np.concatenate([high, [1, 1]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of equal weights, where n is small
        middle = EmpiricalDistribution(scores).quantile_tuning_curve(budgets)
    np.testing.assert_array_equal(curve.low, above)
    np.testing.assert_array_equal(curve.high, below)
    if higher_is_better:  # for the other direction opda takes the lower of two middle values, and this code the worse
        share = n * 0.5 ** (1 / budgets)
        clear = np.abs(share - np.round(share)) > 1e-9  # at a step of the distribution, opda's sum of weights rounds
        np.testing.assert_array_equal(curve.median[clear], middle[clear])


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_intervals_hold_together_with_their_coverage(n):
    low, high = order_statistics_band(n, 0.9)
    drawn = np.sort(np.random.default_rng(5).random((40_000, n)), axis=1)
    inside = np.all((drawn >= low) & (drawn <= high), axis=1)
    assert abs(inside.mean() - 0.9) < 4 * np.sqrt(0.9 * 0.1 / len(inside))


def test_probability_inside_agrees_with_closed_forms():
    n = 6
    at_most = np.full(n, 1.0)
    np.testing.assert_allclose(probability_inside(np.full(n, 0.4), at_most), 0.6**n, rtol=1e-10, atol=1e-12)
    least = np.array([*np.zeros(n - 1), 0.7])  # the largest is above 0.7
    np.testing.assert_allclose(probability_inside(least, at_most), 1 - 0.7**n, rtol=1e-10, atol=1e-12)


def test_probability_inside_agrees_with_the_test_of_kolmogorov_and_smirnov():
    n, d = 15, 0.3
    places = np.arange(1, n + 1)
    low, high = np.clip(places / n - d, 0, 1), np.clip((places - 1) / n + d, 0, 1)
    np.testing.assert_allclose(probability_inside(low, high), stats.kstwo(n).cdf(d), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("levels", [None, 12])
def test_band_holds_the_curve_at_every_budget(higher_is_better, levels):
    """Random search over a known distribution; with levels, its scores are tied, as accuracies of few samples are."""
    n, studies, coverage = 16, 2000, 0.9
    budgets = np.arange(1, n + 1)
    quantile = 0.5 ** (1 / budgets) if higher_is_better else 1 - 0.5 ** (1 / budgets)
    truth = stats.beta(5, 2).ppf(quantile)
    if levels:
        truth = np.ceil(truth * levels) / levels
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(studies):
        scores = rng.beta(5, 2, n)
        if levels:
            scores = np.ceil(scores * levels) / levels
        curve = tuning_curve(scores, higher_is_better, coverage, support=(0, 1))
        held += bool(np.all((curve.low <= truth) & (truth <= curve.high)))
    assert held / studies > coverage - 4 * np.sqrt(coverage * (1 - coverage) / studies)
    assert levels or held / studies < 0.99  # the budgets ask for 16 of all quantiles, so it holds more often than 90%


@properties
@given(SCORES)
def test_directions_mirror_each_other_and_curves_improve(scores):
    up, down = tuning_curve(scores), tuning_curve([-x for x in scores], higher_is_better=False)
    np.testing.assert_array_equal(up.median, -down.median)
    np.testing.assert_array_equal(up.low, -down.high)
    np.testing.assert_array_equal(up.high, -down.low)
    for line in (up.median, up.low, up.high):
        assert np.all(line[1:] >= line[:-1])
    assert np.all((up.low <= up.median) & (up.median <= up.high))
    assert up.median[-1] == max(scores)


def test_trial_that_did_not_complete_is_the_worst():
    failed = tuning_curve([np.nan, np.nan, 0.4, 0.6], support=(0, 1))
    assert failed.median.tolist() == tuning_curve([0, 0, 0.4, 0.6], support=(0, 1)).median.tolist()
    assert tuning_curve([np.nan, np.nan, 0.6], False).median[0] == np.inf


def test_inequality_holds_and_is_close_to_the_exact_band_of_many_trials():
    n = 300
    low, high = inequality_band(n)
    assert 0.95 < probability_inside(low, high) < 0.96
    scores = np.linspace(0, 1, 2000)
    np.testing.assert_allclose(tuning_curve(scores).low[0], 0.5 - 0.0304, rtol=0, atol=1e-3)  # 1.358 / sqrt(2000)


def test_scores_are_checked():
    with pytest.raises(ValueError, match=r"shape \[trials\]"):
        tuning_curve([])
    with pytest.raises(ValueError, match=r"shape \[trials\]"):
        tuning_curve([[0.5]])


def test_best_so_far_of_losses():
    assert best_so_far([3.0, np.nan, 2.0, 5.0], higher_is_better=False).tolist() == [3.0, 3.0, 2.0, 2.0]
