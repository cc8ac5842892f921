"""Tests of ranks over data sets: Demšar's worked example, scipy, statsmodels, scikit-posthocs, and properties."""

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from harness.analysis.stats.mean_ranks import critical_difference, friedman, rank_groups, ranks

properties = settings(max_examples=100, deadline=None, derandomize=True)
SCORES = arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(3, 5)), elements=st.integers(0, 4).map(float))
# Demšar, JMLR 7, 2006, table 6: ranks of four decision trees on 14 data sets
DEMSAR = np.array(
    """4 3 2 1 | 1 2 3 4 | 4 1 2 3 | 4 1 3 2 | 4 2 3 1 | 1 2.5 4 2.5 | 3 2 4 1 | 2.5 2.5 4 1 | 4 3 2 1
    | 2.5 2.5 2.5 2.5 | 4 2.5 1 2.5 | 3 2 4 1 | 4 1 2 3 | 3 1 4 2""".replace("|", "").split(),
    dtype=np.float64,
).reshape(14, 4)


def test_demsars_example_is_reproduced():
    np.testing.assert_allclose(DEMSAR.mean(0), [3.143, 2.000, 2.893, 1.964], rtol=0, atol=5e-4)
    tied = 1 - (60 + 3 * 6) / (14 * (4**3 - 4))  # four arms tie once and two arms tie three times; he does not correct
    chi2 = friedman(DEMSAR).chi2 * tied
    np.testing.assert_allclose(chi2, 9.28, rtol=0, atol=0.005)
    np.testing.assert_allclose(13 * chi2 / (14 * 3 - chi2), 3.69, rtol=0, atol=0.005)
    np.testing.assert_allclose(critical_difference(4, 14), 1.25, rtol=0, atol=0.005)


def test_critical_values_are_those_of_demsars_table():
    """Table 5 (a): q at .05 and .10 for 2 to 10 arms."""
    table = {
        0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
        0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
    }
    for level, expected in table.items():
        found = [critical_difference(k, 7, level) / (k * (k + 1) / 42) ** 0.5 for k in range(2, 11)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@properties
@given(SCORES)
def test_ranks_are_those_of_scipy(x):
    np.testing.assert_array_equal(ranks(x), stats.rankdata(-x, axis=1))
    np.testing.assert_array_equal(ranks(x, higher_is_better=False), stats.rankdata(x, axis=1))


@properties
@given(SCORES)
def test_ranks_do_not_depend_on_a_monotone_transform(x):
    np.testing.assert_array_equal(ranks(x), ranks(np.exp(x) - 5))
    np.testing.assert_array_equal(ranks(x), ranks(-x, higher_is_better=False))


@properties
@given(SCORES)
def test_friedman_agrees_with_scipy_and_with_an_analysis_of_variance_of_ranks(x):
    found, rank = friedman(x), stats.rankdata(x, axis=1)
    if np.all(rank == rank[0, 0]):
        assert (found.chi2, found.p, found.f, found.p_f) == (0.0, 1.0, 0.0, 1.0)
        return
    chi2, p = stats.friedmanchisquare(*x.T)
    np.testing.assert_allclose((found.chi2, found.p), (chi2, p), rtol=1e-9, atol=1e-9)
    n, k = x.shape
    rest = n * (k - 1) - chi2
    if rest > 1e-6:
        f = stats.f(k - 1, (k - 1) * (n - 1))
        np.testing.assert_allclose(found.p_f, f.sf((n - 1) * chi2 / rest), rtol=1e-7, atol=1e-9)
    else:
        assert (found.f, found.p_f) == (np.inf, 0.0)


def test_iman_davenport_is_the_analysis_of_variance_of_the_ranks():
    index = pd.MultiIndex.from_product([range(14), range(4)], names=["data", "arm"])
    table = pd.Series(DEMSAR.ravel(), index=index, name="y").reset_index()
    expected = anova_lm(ols("y ~ C(data) + C(arm)", table).fit()).loc["C(arm)"]
    found = friedman(DEMSAR)
    np.testing.assert_allclose((found.f, found.p_f), (expected["F"], expected["PR(>F)"]), rtol=1e-9, atol=1e-12)


def test_iman_davenport_of_nearly_equal_rankings_is_finite():
    x = np.tile([3.0, 2.0, 1.0], (20, 1))
    x[0, 0] = 2.0
    chi2 = stats.friedmanchisquare(*x.T).statistic
    np.testing.assert_allclose(friedman(x).f, 19 * chi2 / (40 - chi2), rtol=1e-9, atol=1e-9)
    x[0, 0] = 3.0
    assert (friedman(x).f, friedman(x).p_f) == (np.inf, 0.0)


def test_critical_difference_settles_the_pairs_that_scikit_posthocs_settles():
    x = np.random.default_rng(0).normal(size=(15, 6)) + np.linspace(0, 2, 6)
    p = scikit_posthocs.posthoc_nemenyi_friedman(x).to_numpy()
    mean = ranks(x).mean(0)
    apart = np.abs(mean[:, None] - mean)
    for level in (0.01, 0.05, 0.1, 0.5):
        settled = apart > critical_difference(6, 15, level)
        np.testing.assert_array_equal(settled, p < level)
        assert 0 < settled.sum() < 30


def test_groups_of_demsars_example():
    """Page 13: no pair differs at .05; at .10 C4.5 differs from the two trees with tuned leaves (figure 1a)."""
    assert rank_groups(DEMSAR.mean(0), critical_difference(4, 14)) == [(3, 1, 2, 0)]
    assert rank_groups(DEMSAR.mean(0), critical_difference(4, 14, 0.10)) == [(3, 1, 2), (2, 0)]


@properties
@given(arrays(np.float64, st.integers(1, 8), elements=st.integers(4, 32).map(lambda n: n / 4)), st.integers(0, 24))
def test_groups_hold_every_pair_that_is_not_settled_and_no_other(mean_ranks, quarters):
    groups = rank_groups(mean_ranks, quarters / 4)
    for i in range(len(mean_ranks)):
        for j in range(i):
            together = any(i in group and j in group for group in groups)
            assert together == (abs(mean_ranks[i] - mean_ranks[j]) <= quarters / 4)
    assert all(len(group) > 1 for group in groups)
    assert not any(set(a) < set(b) for a in groups for b in groups)


@pytest.mark.parametrize("scores", [[[1.0, 2.0, 3.0]], [[1.0], [2.0]]])
def test_single_data_set_or_arm_is_refused(scores):
    with pytest.raises(ValueError, match="at least 2 data sets and 2 arms"):
        friedman(scores)


def test_missing_score_is_refused():
    with pytest.raises(ValueError, match="scores must be finite: 1 of 4"):
        friedman([[1.0, np.nan], [1.0, 2.0]])


@pytest.mark.parametrize(("arms", "data_sets"), [(1, 10), (3, 0)])
def test_critical_difference_of_nothing_is_refused(arms, data_sets):
    with pytest.raises(ValueError, match="needs 2 arms and a data set"):
        critical_difference(arms, data_sets)
