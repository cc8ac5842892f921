"""Tests of intervals of shares: published values, statsmodels, and counts that are none."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from harness.analysis.stats.proportions import wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals_are_reproduced(k, n, low, high):
    """Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998, table I."""
    np.testing.assert_allclose(wilson(k, n), (low, high), rtol=0, atol=5.1e-5)


@pytest.mark.parametrize("coverage", [0.5, 0.95, 0.999])
def test_intervals_agree_with_statsmodels(coverage):
    k, n = np.array([0, 0, 1, 3, 17, 60, 1000]), np.array([1, 7, 1, 9, 40, 60, 2001])
    expected = proportion_confint(k, n, alpha=1 - coverage, method="wilson")
    np.testing.assert_allclose(wilson(k, n, coverage), expected, rtol=1e-10, atol=1e-12)


def test_ends_are_exactly_0_and_1():
    n = np.arange(1, 200)  # of 16 and others, the formula rounds to a number beside 1
    assert np.all(wilson(0, n)[0] == 0.0)
    assert np.all(wilson(n, n)[1] == 1.0)


def test_failures_mirror_successes():
    low, high = wilson([2, 5], [9, 9])
    np.testing.assert_allclose(wilson([7, 4], [9, 9]), (1 - high, 1 - low), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (5, 4), (-1, 4), (0.5, 4), (np.nan, 4), (1, np.inf)])
def test_what_is_no_share_is_refused(k, n):
    with pytest.raises(ValueError, match=r"whole numbers|a share needs 1 trial"):
        wilson(k, n)
