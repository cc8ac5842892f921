"""Tests of the power of the paired t test against statsmodels, published sample sizes and a simulation."""

import numpy as np
import pytest
from scipy.special import stdtrit
from statsmodels.stats.power import TTestPower

from harness.analysis.stats.sample_size import power, units_for_power


def test_power_agrees_with_statsmodels():
    for level in (0.001, 0.05, 0.2):
        for n in (3, 5, 10, 100):
            for effect in (0.05, 0.5, 1.0):
                expected = TTestPower().power(effect, n, level)
                np.testing.assert_allclose(power(n, effect, level), expected, rtol=1e-9, atol=1e-12)


def test_cohens_sample_sizes_are_reproduced():
    """Sizes that G*Power 3.1 gives for a small, medium and large effect, two-sided at .05."""
    assert [units_for_power(effect) for effect in (0.2, 0.5, 0.8)] == [199, 34, 15]
    assert [units_for_power(effect, 0.95) for effect in (0.2, 0.5, 0.8)] == [327, 54, 23]


@pytest.mark.parametrize("effect", [-3.0, 0.03, 0.4, 2.0, 50.0])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.99])
def test_units_are_the_fewest_that_reach_the_power(effect, wanted):
    n = units_for_power(effect, wanted, 0.01)
    assert power(n, effect, 0.01) >= wanted
    assert n == 2 or power(n - 1, effect, 0.01) < wanted


def test_power_without_a_difference_is_the_level():
    np.testing.assert_allclose(power([2, 5, 1000], 0.0, 0.03), 0.03, rtol=1e-9, atol=1e-12)


def test_power_grows_with_the_effect_and_ends_at_1():
    curve = power(4, np.geomspace(1e-3, 1e4, 400), 0.1)  # scipy's noncentral F has nan in between
    assert np.all(np.diff(curve) >= -1e-12)
    assert curve[-1] == 1.0


def test_sign_of_the_effect_does_not_matter():
    np.testing.assert_allclose(power(7, -0.8), power(7, 0.8), rtol=1e-12, atol=1e-12)


def test_power_is_the_share_of_simulated_studies_that_settle():
    x = np.random.default_rng(0).normal(0.8, 1, (40_000, 10))
    t = x.mean(1) / (x.std(1, ddof=1) / 10**0.5)
    settled = np.mean(np.abs(t) > -stdtrit(9, 0.025))
    np.testing.assert_allclose(power(10, 0.8), settled, rtol=0, atol=0.008)


@pytest.mark.parametrize("effect", [0.0, 1e-7, float("nan")])
def test_effect_that_no_study_settles_is_refused(effect):
    with pytest.raises(ValueError, match=r"cannot be settled|finite effect"):
        units_for_power(effect)


@pytest.mark.parametrize(("n", "effect"), [(1, 0.5), (float("nan"), 0.5), (5, float("inf"))])
def test_bad_design_is_refused(n, effect):
    with pytest.raises(ValueError, match="2 pairs and a finite effect"):
        power(n, effect)
