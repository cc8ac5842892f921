"""Tests of survival analysis: a published trial, statsmodels, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from harness.analysis.stats.survival import kaplan_meier, log_rank, median_time

properties = settings(max_examples=100, deadline=None, derandomize=True)
RUNS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=25)
GROUPED = st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(0, 2)), min_size=2, max_size=30)
# Freireich et al., Blood 21, 1963: weeks of remission with 6-MP (True: relapsed) and with placebo (all relapsed)
DRUG = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = np.isin(range(21), [0, 1, 2, 4, 6, 9, 10, 14, 15])
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_published_survival_is_reproduced():
    """Collett, and the output of R's survfit(conf.type="log-log"), for the trial of 6-MP."""
    curve = kaplan_meier(DRUG, RELAPSED)
    assert curve.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve.reached.tolist() == [3, 1, 1, 1, 1, 1, 1]
    expected = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    np.testing.assert_allclose(curve.share, expected, rtol=0, atol=5.1e-4)
    np.testing.assert_allclose(curve.low[[0, -1]], [0.620, 0.188], rtol=0, atol=1e-3)
    np.testing.assert_allclose(curve.high[[0, -1]], [0.952, 0.680], rtol=0, atol=1e-3)


def test_published_medians_are_reproduced():
    assert median_time(kaplan_meier(DRUG, RELAPSED)) == (23.0, 13.0, None)
    assert median_time(kaplan_meier(PLACEBO, np.ones(21, bool))) == (8.0, 4.0, 11.0)


def test_published_log_rank_test_is_reproduced():
    test = log_rank([*DRUG, *PLACEBO], [*RELAPSED, *[True] * 21], ["drug"] * 21 + ["placebo"] * 21)
    assert test.df == 1
    np.testing.assert_allclose(test.chi2, 16.793, rtol=0, atol=5e-4)
    np.testing.assert_allclose(test.p, 4.17e-5, rtol=1e-3, atol=1e-8)


@properties
@given(RUNS)
def test_curve_agrees_with_statsmodels(runs):
    times, reached = (np.array(column) for column in zip(*runs, strict=True))
    curve = kaplan_meier(times, reached)
    if not reached.any():
        assert curve.times.size == curve.share.size == curve.low.size == curve.high.size == 0
        return
    with np.errstate(all="ignore"):  # it divides 0 by 0 where the share is 0
        expected = SurvfuncRight(times, reached.astype(int))
    np.testing.assert_array_equal(curve.times, expected.surv_times)
    np.testing.assert_array_equal(curve.at_risk, expected.n_risk)
    np.testing.assert_allclose(curve.share, expected.surv_prob, rtol=1e-9, atol=1e-12)
    inner = curve.share > 0
    s, error = curve.share[inner], np.asarray(expected.surv_prob_se)[inner]
    width = 1.959963984540054 * error / (s * np.log(s))  # the standard error of log(-log(share))
    np.testing.assert_allclose(curve.low[inner], s ** np.exp(-width), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(curve.high[inner], s ** np.exp(width), rtol=1e-7, atol=1e-9)


@properties
@given(RUNS, st.sampled_from([0.5, 0.95]))
def test_curve_falls_and_lies_in_its_interval(runs, coverage):
    curve = kaplan_meier(*zip(*runs, strict=True), coverage)
    assert np.all(np.diff(np.concatenate([[1.0], curve.share])) < 0)
    assert np.all((curve.low >= 0) & (curve.low <= curve.share) & (curve.share <= curve.high) & (curve.high <= 1))


@properties
@given(RUNS)
def test_without_censoring_the_curve_is_the_share_of_later_runs(runs):
    times = np.array([time for time, _ in runs])
    curve = kaplan_meier(times, np.ones(len(times), bool))
    np.testing.assert_allclose(curve.share, [np.mean(times > t) for t in curve.times], rtol=1e-9, atol=1e-12)


def test_median_and_its_interval_agree_with_statsmodels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        times, reached = rng.integers(1, 50, 40), rng.random(40) < 0.8
        expected = SurvfuncRight(times, reached.astype(int))
        median, low, high = median_time(kaplan_meier(times, reached))
        with np.errstate(all="ignore"):  # it takes the logarithm of 0 where the share is 0
            ends = expected.quantile_ci(0.5, method="cloglog")
        assert (median, low) == (expected.quantile(0.5), ends[0])
        assert (np.inf if high is None else high) == ends[1]


@pytest.mark.parametrize("runs", [4, 6, 24, 54])  # of 24 and 54, the share after half of the runs rounds up
def test_median_at_exactly_one_half_is_found(runs):
    times = np.arange(1, runs + 1)
    assert median_time(kaplan_meier(times, times <= runs / 2))[0] == runs / 2


def test_median_that_is_not_reached_is_none():
    assert median_time(kaplan_meier([5, 5, 5], [False, False, False])) == (None, None, None)
    assert median_time(kaplan_meier([1, 5, 5, 5], [True, False, False, False]))[0] is None


def test_last_interval_ends_where_the_one_before_did():
    curve = kaplan_meier([1, 2, 3], [True, True, True])
    assert (curve.share[-1], curve.low[-1], curve.high[-1]) == (0.0, 0.0, curve.high[-2])
    assert kaplan_meier([4], [True]).high.tolist() == [1.0]


@properties
@given(GROUPED)
def test_log_rank_agrees_with_statsmodels(runs):
    times, reached, groups = (np.array(column) for column in zip(*runs, strict=True))
    first = times[reached].min() if reached.any() else np.inf
    if any(times[groups == g].max() < first for g in set(groups)) or len(set(groups)) < 2:
        return  # statsmodels has nan, or counts a group that was never at risk: see below
    found = log_rank(times, reached, groups)
    assert found.df == len(set(groups)) - 1
    if (
        len(set(groups)) == 2
        and np.all(times[reached] == times.max())
        and reached.sum() == (times == times.max()).sum()
    ):
        assert (found.chi2, found.p) == (0.0, 1.0)  # all reach it at the end: no variance
        return
    expected = survdiff(times, reached.astype(int), groups)
    np.testing.assert_allclose((found.chi2, found.p), expected, rtol=1e-7, atol=1e-9)


@properties
@given(GROUPED, st.randoms(use_true_random=False))
def test_log_rank_depends_only_on_the_order_of_times(runs, random):
    if len({group for *_, group in runs}) < 2:
        return
    before = log_rank(*zip(*runs, strict=True))
    times, reached, groups = zip(*random.sample(runs, len(runs)), strict=True)
    after = log_rank(np.array(times) ** 3 + 1, reached, [f"arm {2 - group}" for group in groups])
    assert after.df == before.df
    np.testing.assert_allclose((after.chi2, after.p), (before.chi2, before.p), rtol=1e-7, atol=1e-9)


def test_group_that_was_never_at_risk_has_no_degree_of_freedom():
    times, reached, groups = [1, 1, 3, 4, 5, 6], [False, False, True, True, True, True], ["a", "a", "b", "b", "c", "c"]
    assert log_rank(times, reached, groups) == log_rank(times[2:], reached[2:], groups[2:])


def test_nothing_reached_settles_nothing():
    test = log_rank([5, 5, 5, 5], [False] * 4, [0, 0, 1, 1])
    assert (test.chi2, test.df, test.p) == (0.0, 0, 1.0)


@pytest.mark.parametrize(
    ("times", "reached", "message"),
    [
        ([1, np.nan], [True, True], "times must be finite"),
        ([1, -2], [True, True], "times must not be negative: -2"),
        ([1, 2], [True], "equally many runs: 2 and 1"),
        ([1, 2], [1, 0], "reached must be True or False"),
    ],
)
def test_bad_runs_are_refused(times, reached, message):
    with pytest.raises(ValueError, match=message):
        kaplan_meier(times, reached)


@pytest.mark.parametrize(
    ("groups", "message"), [([0, 0], "at least 2 groups"), ([0, 1, 1], "equally many runs: 2 and 3")]
)
def test_bad_groups_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        log_rank([1, 2], [True, True], groups)
