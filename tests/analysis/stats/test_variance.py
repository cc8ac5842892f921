"""Tests of variance components: mean squares of statsmodels, known components, a worked example, and properties."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from harness.analysis.stats.variance import shares, variance_components, variance_components_over_data

properties = settings(max_examples=60, deadline=None, derandomize=True)
SCORES = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 4)), elements=st.integers(-20, 20).map(float))


def mean_squares(values, axes, formula):
    """Analysis of variance by statsmodels: the mean square of each term."""
    index = pd.MultiIndex.from_product([range(size) for size in values.shape], names=axes)
    table = anova_lm(ols(formula, pd.Series(values.ravel(), index=index, name="y").reset_index()).fit())
    return dict(table["sum_sq"] / table["df"])


def test_components_of_one_data_set_follow_from_the_mean_squares_of_statsmodels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 1)) + 2 * rng.normal(size=(1, 4)) + rng.normal(size=(6, 4))
    ms = mean_squares(x, ["unit", "arm"], "y ~ C(unit) + C(arm)")
    expected = {
        "unit": (ms["C(unit)"] - ms["Residual"]) / 4,
        "arm": (ms["C(arm)"] - ms["Residual"]) / 6,
        "rest": ms["Residual"],
    }
    found = variance_components(x)
    assert min(expected.values()) > 0
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9, atol=1e-12)


def test_components_of_several_data_sets_follow_from_the_mean_squares_of_statsmodels():
    rng = np.random.default_rng(1)
    d, n, k = 6, 5, 4
    x = 3 * rng.normal(size=(d, 1, 1)) + 2 * rng.normal(size=(1, 1, k)) + rng.normal(size=(d, 1, k))
    x = x + rng.normal(size=(d, n, 1)) + 0.5 * rng.normal(size=(d, n, k))
    ms = mean_squares(x, ["data", "unit", "arm"], "y ~ C(data) + C(arm) + C(data):C(arm) + C(data):C(unit)")
    both, units, rest = ms["C(data):C(arm)"], ms["C(data):C(unit)"], ms["Residual"]
    expected = {
        "data": (ms["C(data)"] - units - both + rest) / (n * k),
        "arm": (ms["C(arm)"] - both) / (d * n),
        "arm by data": (both - rest) / n,
        "unit": (units - rest) / k,
        "rest": rest,
    }
    found = variance_components_over_data(x)
    assert min(expected.values()) > 0
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9, atol=1e-12)


def test_worked_example():
    """Shrout and Fleiss, Intraclass correlations, Psychological Bulletin 86, 1979, table 2: 6 targets, 4 judges.

    Their mean squares are 11.24 between targets, 32.49 between judges and 1.02 for the rest.
    """
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    found = variance_components(ratings)
    expected = [(11.24 - 1.02) / 4, (32.49 - 1.02) / 6, 1.02]
    np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=0.005)
    np.testing.assert_allclose(found["unit"] / sum(found.values()), 0.29, rtol=0, atol=0.005)  # their ICC(2,1)


def test_components_of_a_large_table_are_those_it_was_drawn_with():
    rng = np.random.default_rng(2)
    x = 2 * rng.normal(size=(300, 1)) + 1 * rng.normal(size=(1, 300)) + 3 * rng.normal(size=(300, 300))
    np.testing.assert_allclose(list(variance_components(x).values()), [4, 1, 9], rtol=0.2, atol=0.01)


@properties
@given(SCORES, st.integers(-5, 5), st.sampled_from([0.5, 2.0, -4.0]))
def test_components_do_not_depend_on_shift_and_grow_with_the_square_of_scale(x, shift, scale):
    before, after = variance_components(x), variance_components(scale * x + shift)
    expected = [scale**2 * value for value in before.values()]
    np.testing.assert_allclose(list(after.values()), expected, rtol=1e-9, atol=1e-9)


@properties
@given(SCORES, st.randoms(use_true_random=False))
def test_order_of_units_and_arms_does_not_matter(x, random):
    units, arms = random.sample(range(len(x)), len(x)), random.sample(range(x.shape[1]), x.shape[1])
    found = variance_components(x[units][:, arms])
    np.testing.assert_allclose(list(found.values()), list(variance_components(x).values()), rtol=1e-9, atol=1e-9)


def test_negative_estimate_is_0():
    assert variance_components([[1, 2], [2, 1]]) == {"unit": 0.0, "arm": 0.0, "rest": 1.0}


def test_constant_scores_have_no_shares():
    assert shares(variance_components(np.full((3, 2), 0.5))) == {}
    assert shares(variance_components_over_data(np.full((2, 3, 2), 0.5))) == {}


def test_shares_sum_to_1():
    x = np.random.default_rng(3).normal(size=(4, 5, 3))
    np.testing.assert_allclose(sum(shares(variance_components_over_data(x)).values()), 1.0, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, np.nan], [1.0, 2.0]], "must be finite"),
        ([[1.0, 2.0]], "at least 2 units, not 1"),
        ([[1.0], [2.0]], "at least 2 arms, not 1"),
    ],
)
def test_bad_table_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        variance_components(values)


def test_single_data_set_is_refused_over_data_sets():
    with pytest.raises(ValueError, match="at least 2 data sets, not 1"):
        variance_components_over_data(np.zeros((1, 3, 3)))
