"""Tests of estimates and tests of paired differences, against scipy and statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from harness.analysis.stats.looks import spend
from harness.analysis.stats.paired import (
    Estimate,
    equivalence,
    estimate,
    floor,
    shares,
    sign_test,
    student,
    units_needed,
)

properties = settings(max_examples=50, deadline=None, derandomize=True)
numbers = st.floats(-100, 100).map(lambda x: round(x, 3))
samples = st.lists(numbers, min_size=3, max_size=20).filter(lambda x: np.std(x) > 1e-3)
alphas = st.sampled_from([0.2, 0.05, 0.01, 1e-4])


def with_deviation(sd: float, n: int) -> Estimate:
    """Return an estimate whose differences have this standard deviation."""
    return student(n, 0, sd, sd / math.sqrt(n))


@properties
@given(samples, alphas)
def test_estimate_agrees_with_scipy(d: list[float], alpha: float) -> None:
    e, reference = estimate(d, alpha), stats.ttest_1samp(d, 0)
    interval = reference.confidence_interval(1 - alpha)
    scale = 1e-9 * (abs(e.mean) + e.sd)
    np.testing.assert_allclose([e.low, e.high], [interval.low, interval.high], rtol=1e-7, atol=scale)
    np.testing.assert_allclose(e.p, reference.pvalue, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose([e.mean, e.sd], [np.mean(d), np.std(d, ddof=1)], rtol=1e-12, atol=scale)
    assert e.n == len(d)


def test_estimate_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 10, 30):
        x, y = rng.normal(size=(2, n))
        np.testing.assert_allclose(estimate(x - y).p, stats.ttest_rel(x, y).pvalue, rtol=1e-9, atol=1e-15)


@properties
@given(samples, st.permutations(range(20)), alphas)
def test_estimate_ignores_order_and_follows_sign(d: list[float], order: list[int], alpha: float) -> None:
    e = estimate(d, alpha)
    shuffled = estimate([d[i] for i in order if i < len(d)], alpha)
    mirrored = estimate([-x for x in d], alpha)
    scale = 1e-9 * (abs(e.mean) + e.sd)
    np.testing.assert_allclose([shuffled.low, shuffled.high], [e.low, e.high], rtol=1e-9, atol=scale)
    np.testing.assert_allclose([-mirrored.high, -mirrored.low], [e.low, e.high], rtol=1e-9, atol=scale)
    np.testing.assert_allclose([shuffled.p, mirrored.p], e.p, rtol=1e-7, atol=1e-12)


@properties
@given(samples, st.floats(0.01, 100), alphas)
def test_p_value_ignores_the_unit_of_measurement(d: list[float], factor: float, alpha: float) -> None:
    e, scaled = estimate(d, alpha), estimate(np.array(d) * factor, alpha)
    np.testing.assert_allclose(scaled.p, e.p, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(scaled.high - scaled.low, (e.high - e.low) * factor, rtol=1e-6, atol=1e-12)


@properties
@given(samples)
def test_smaller_error_rate_widens_the_interval(d: list[float]) -> None:
    intervals = [estimate(d, alpha) for alpha in (0.2, 0.05, 0.01, 1e-4)]
    for inner, outer in itertools.pairwise(intervals):
        assert outer.low < inner.low <= inner.mean <= inner.high < outer.high


@properties
@given(samples, alphas)
def test_interval_excludes_zero_exactly_if_p_is_below_the_error_rate(d: list[float], alpha: float) -> None:
    e = estimate(d, alpha)
    if abs(e.p - alpha) > 1e-9:
        assert (e.low > 0 or e.high < 0) == (e.p < alpha)


@properties
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12), st.sampled_from([36, 360]))
def test_resolution_bounds_the_deviation_from_below(counts: list[int], n: int) -> None:
    d = np.array(counts) / n
    e, plain = estimate(d, resolution=1 / n), estimate(d)
    assert e.sd == max(plain.sd, 1 / n / math.sqrt(6))
    assert e.low <= plain.low <= plain.high <= e.high
    assert e.p >= plain.p or math.isclose(e.p, plain.p, rel_tol=1e-9, abs_tol=1e-12)


def test_equal_shares_are_no_certainty() -> None:
    assert estimate([1 / 36] * 3).p == 0
    e = estimate([1 / 36] * 3, resolution=1 / 36)
    np.testing.assert_allclose(e.p, 2 * stats.t.sf(math.sqrt(18), 2), rtol=1e-9, atol=1e-12)
    assert e.low < 0 < e.mean


def test_differences_equal_up_to_rounding_have_no_deviation() -> None:
    d = np.array([0.1 + 0.2, 0.3, 0.3])
    assert d.std() > 0
    e = estimate(d)
    assert (e.sd, e.p) == (0, 0)
    assert e.low == e.mean == e.high
    nothing = estimate([0.0, 0.0, 0.0])
    assert (nothing.low, nothing.high, nothing.p) == (0, 0, 1)


@pytest.mark.parametrize(
    ("d", "message"), [([1.0], "at least two"), ([], "at least two"), ([1.0, float("nan")], "not finite")]
)
def test_too_few_or_infinite_differences_are_refused(d: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(d)


@properties
@given(samples, st.floats(0.1, 200))
def test_equivalence_agrees_with_statsmodels(d: list[float], margin: float) -> None:
    reference = ttost_paired(np.array(d), np.zeros(len(d)), -margin, margin)[0]
    np.testing.assert_allclose(equivalence(estimate(d), margin), reference, rtol=1e-7, atol=1e-12)


@properties
@given(samples, st.floats(0.1, 200))
def test_equivalence_is_the_interval_inside_of_the_margin(d: list[float], margin: float) -> None:
    p, e = equivalence(estimate(d), margin), estimate(d, 0.1)  # two tests at .05 each
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (-margin < e.low and e.high < margin)


def test_equivalence_of_constant_differences_is_decided_by_the_margin() -> None:
    assert equivalence(estimate([0.5, 0.5, 0.5]), 1) == 0
    assert equivalence(estimate([1.5, 1.5, 1.5]), 1) == 1
    assert 0 < equivalence(estimate([0.0, 0.0, 0.0], resolution=0.01), 0.01) < 1


@properties
@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_agrees_with_scipy(wins: int, losses: int) -> None:
    reference = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    np.testing.assert_allclose(sign_test(wins, losses), reference, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("n", "settles"), [(3, False), (5, False), (6, True)])
def test_sign_test_settles_nothing_below_six_pairs(n: int, settles: bool) -> None:
    assert (sign_test(n, 0) <= 0.05) == settles


@pytest.mark.parametrize(
    ("n", "alpha", "error"),
    [(3, 0.05, 0.06), (5, 0.05, 0.013), (10, 0.05, 0.002), (30, 0.05, 0.001), (5, 0.01, 0.06), (10, 0.01, 0.02)],
)
def test_floor_is_near_the_exact_one_of_the_noncentral_t(n: int, alpha: float, error: float) -> None:
    """The sum of two quantiles is below the exact value: by 5% at n = 3, by 0.2% at n = 10, more at small rates."""
    exact = TTestPower().solve_power(nobs=n, alpha=alpha, power=0.8)
    approximate = floor(with_deviation(1, n), alpha)
    assert approximate < exact * 1.001
    np.testing.assert_allclose(approximate, exact, rtol=error, atol=1e-12)


@properties
@given(st.integers(3, 60), alphas, st.floats(0.01, 10))
def test_floor_follows_the_deviation(n: int, alpha: float, sd: float) -> None:
    quantiles = stats.t.isf(alpha / 2, n - 1) + stats.t.ppf(0.8, n - 1)
    expected = quantiles * sd / math.sqrt(n)
    np.testing.assert_allclose(floor(with_deviation(sd, n), alpha), expected, rtol=1e-7, atol=1e-12)


@properties
@given(st.floats(0.2, 3))
def test_units_needed_is_near_the_exact_number_of_the_noncentral_t(margin: float) -> None:
    n = units_needed(1, margin, lambda n: 0.05)
    assert n is not None
    assert n == 3 or TTestPower().power(margin, n - 1, 0.05) < 0.801  # fewer do not do
    assert TTestPower().power(margin, n, 0.05) > 0.76


@properties
@given(st.floats(0.1, 3), st.floats(0.1, 3), st.integers(30, 200))
def test_units_needed_is_the_smallest_number_that_settles(sd: float, margin: float, planned: int) -> None:
    def level(n: int) -> float:
        return spend(n, 0, max(planned, n))

    def settles(n: int) -> bool:
        return floor(with_deviation(sd, n), level(n)) <= margin

    n = units_needed(sd, margin, level)
    assert n is not None
    assert settles(n)
    assert n == 3 or not settles(n - 1)
    more = units_needed(2 * sd, margin, level)
    assert more is not None
    assert more >= n


def test_units_needed_is_none_where_nothing_settles() -> None:
    assert units_needed(1.0, 1e-6, lambda n: 0.05) is None
    assert units_needed(1.0, 1.0, lambda n: 0.0) is None
    assert units_needed(0.0, 1.0, lambda n: 0.05) == 3


@properties
@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_in_single_precision_are_restored(counts: tuple[int, int]) -> None:
    k, n = counts
    assert shares(np.float32(k / n), n) == k / n
