"""Tests of comparisons over data sets and over new data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from harness.analysis.stats.datasets import over_data_sets, over_new_data
from harness.analysis.stats.paired import equivalence, estimate

properties = settings(max_examples=50, deadline=None, derandomize=True)
differences = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=4, max_size=20).filter(
    lambda x: np.std(x) > 1e-3
)


@properties
@given(differences)
def test_data_sets_are_the_sample(means: list[float]) -> None:
    e, reference = over_data_sets(means), stats.ttest_1samp(means, 0)
    interval = reference.confidence_interval()
    np.testing.assert_allclose([e.low, e.high, e.p], [*interval, reference.pvalue], rtol=1e-7, atol=1e-9)
    assert e.n == len(means)


@pytest.mark.parametrize("means", [[], [1.0, 2.0, 3.0]])
def test_fewer_than_four_data_sets_are_refused(means: list[float]) -> None:
    with pytest.raises(ValueError, match=f"at least 4, got {len(means)}"):
        over_data_sets(means)


@properties
@given(differences, st.integers(10, 1000), st.integers(1, 1000), st.sampled_from([0.05, 0.01]))
def test_new_data_scale_the_plain_t(d: list[float], train: int, test: int, alpha: float) -> None:
    """The corrected t is the plain t divided by sqrt(1 + n test/train)."""
    n = len(d)
    e, plain = over_new_data(d, train, test, alpha), stats.ttest_1samp(d, 0)
    widening = math.sqrt(1 + n * test / train)
    half = stats.t.isf(alpha / 2, n - 1) * stats.sem(d) * widening
    np.testing.assert_allclose([e.low, e.high], [e.mean - half, e.mean + half], rtol=1e-7, atol=1e-9)
    reference = 2 * stats.t.sf(abs(plain.statistic) / widening, n - 1)
    np.testing.assert_allclose(e.p, reference, rtol=1e-7, atol=1e-12)


def test_published_example() -> None:
    """Scikit-learn's example "Statistical comparison of models using grid search": t = .750, one-sided p = .227."""
    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    splits = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    radial, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=splits)
        for kernel in ("rbf", "linear")
    )
    e = over_new_data(radial - linear, train=90, test=10)
    np.testing.assert_allclose(e.p / 2, 0.227, rtol=0, atol=5e-4)
    np.testing.assert_allclose(e.mean / e.error, 0.750, rtol=0, atol=5e-4)


def test_equality_on_new_data_takes_their_variance() -> None:
    d = [0.01, -0.01, 0.02, -0.02, 0.0]
    e = over_new_data(d, train=100, test=100)
    assert equivalence(e, 0.02) > 0.05 > equivalence(estimate(d), 0.02)


def test_equal_shares_are_no_certainty_on_new_data() -> None:
    d = [1 / 36] * 3
    assert over_new_data(d, 100, 36).p == 0
    assert over_new_data(d, 100, 36, resolution=1 / 36).p > 0.05
