"""Tests of effects of factors: a published example, an analysis of variance, scipy, and properties."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from harness.analysis.stats.effects import interaction, main_effect, slope

properties = settings(max_examples=100, deadline=None, derandomize=True)
EIGHTHS = st.integers(-40, 40).map(lambda n: n / 8)
CELLS = arrays(np.float64, st.tuples(st.integers(2, 6), st.just(3), st.just(2)), elements=EIGHTHS)


def fields(contrast):
    return contrast.mean, contrast.low, contrast.high, contrast.sd, contrast.p


def test_students_sleep_data_are_reproduced():
    """Student, Biometrika 6, 1908; R's t.test(paired=TRUE) gives p = 0.002833 and [0.7001142, 2.4598858]."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = main_effect(np.transpose([first, second]), 0, (1, 0))
    assert found.n == 10
    np.testing.assert_allclose(found.mean, 1.58, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose((found.low, found.high), (0.7001142, 2.4598858), rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.p, 0.002833, rtol=0, atol=5e-7)


def test_two_levels_agree_with_a_repeated_measures_analysis_of_variance():
    x = np.random.default_rng(0).normal(size=(7, 2, 2)) + np.random.default_rng(1).normal(size=(7, 1, 1))
    index = pd.MultiIndex.from_product([range(7), range(2), range(2)], names=["unit", "a", "b"])
    table = AnovaRM(pd.Series(x.ravel(), index=index, name="y").reset_index(), "y", "unit", ["a", "b"]).fit()
    expected = table.anova_table["Pr > F"]
    found = [main_effect(x, 0, (0, 1)).p, main_effect(x, 1, (0, 1)).p, interaction(x, (0, 1), (0, 1, 0, 1)).p]
    np.testing.assert_allclose(found, expected.loc[["a", "b", "a:b"]], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("coverage", [0.8, 0.95, 0.999])
def test_contrasts_of_three_factors_agree_with_scipy(coverage):
    x = np.random.default_rng(2).normal(size=(5, 3, 2, 4))
    main = (x[:, :, :, 3] - x[:, :, :, 1]).mean((1, 2))
    both = ((x[:, 2, :, 3] - x[:, 0, :, 3]) - (x[:, 2, :, 0] - x[:, 0, :, 0])).mean(1)
    found = main_effect(x, 2, (3, 1), coverage), interaction(x, (0, 2), (2, 0, 3, 0), coverage)
    for each, contrast in zip((main, both), found, strict=True):
        test = stats.ttest_1samp(each, 0)
        ends = test.confidence_interval(coverage)
        expected = each.mean(), ends.low, ends.high, each.std(ddof=1), test.pvalue
        np.testing.assert_allclose(fields(contrast), expected, rtol=1e-9, atol=1e-12)


def test_slopes_agree_with_scipy():
    x, at = np.random.default_rng(3).normal(size=(6, 5)), np.array([1e-4, 1e-3, 3e-3, 0.1, 1.0])
    each = np.array([stats.linregress(at, unit).slope for unit in x])
    test = stats.ttest_1samp(each, 0)
    ends = test.confidence_interval(0.95)
    expected = each.mean(), ends.low, ends.high, each.std(ddof=1), test.pvalue
    np.testing.assert_allclose(fields(slope(x, at)), expected, rtol=1e-9, atol=1e-12)


@properties
@given(CELLS, st.integers(-9, 9), arrays(np.float64, (6, 1, 1), elements=EIGHTHS))
def test_shift_of_a_unit_does_not_matter(x, shift, units):
    """A unit that is harder for every arm changes no contrast."""
    moved = x + shift + units[: len(x)]
    for before, after in ((main_effect(x, 0, (0, 2)), main_effect(moved, 0, (0, 2))), (_both(x), _both(moved))):
        np.testing.assert_allclose(fields(after), fields(before), rtol=1e-7, atol=1e-9)


@properties
@given(CELLS, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scale_scales_the_estimate_and_leaves_the_p_value(x, scale):
    before, after = _both(x), _both(scale * x)
    np.testing.assert_allclose(fields(after)[:4], scale * np.array(fields(before)[:4]), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.p, before.p, rtol=1e-9, atol=1e-12)


@properties
@given(CELLS)
def test_levels_in_the_other_order_change_the_sign(x):
    before, after = main_effect(x, 1, (0, 1)), main_effect(x, 1, (1, 0))
    expected = -before.mean, -before.high, -before.low, before.sd, before.p
    np.testing.assert_allclose(fields(after), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(interaction(x, (0, 1), (0, 1, 0, 1)).mean, -_both(x).mean, rtol=1e-9, atol=1e-12)


@properties
@given(CELLS)
def test_interaction_does_not_depend_on_the_order_of_factors(x):
    swapped = interaction(x, (1, 0), (0, 1, 1, 0))
    np.testing.assert_allclose(fields(swapped), fields(_both(x)), rtol=1e-9, atol=1e-9)


@properties
@given(CELLS, st.randoms(use_true_random=False))
def test_order_of_units_does_not_matter(x, random):
    after = _both(x[random.sample(range(len(x)), len(x))])
    np.testing.assert_allclose(fields(after), fields(_both(x)), rtol=1e-7, atol=1e-9)


def test_unit_without_a_run_of_the_contrast_is_left_out_of_it_only():
    x = np.random.default_rng(4).normal(size=(5, 3, 2))
    x[1, 2, 0] = np.nan
    kept = np.delete(x, 1, axis=0)
    assert main_effect(x, 0, (0, 1)).n == 5
    assert main_effect(x, 0, (0, 2)) == main_effect(kept, 0, (0, 2))
    assert main_effect(x, 1, (0, 1)) == main_effect(kept, 1, (0, 1))
    assert slope(x[:, :, 0], [1, 2, 3]) == slope(kept[:, :, 0], [1, 2, 3])


def test_equal_scores_are_no_difference_in_spite_of_rounding():
    x = np.tile([[0.1, 0.2, 0.9], [0.9, 0.1, 0.2]], (4, 1, 1))  # the three differences sum to -1e-16
    assert abs((x[0, 0] - x[0, 1]).mean()) > 0
    assert fields(main_effect(x, 0, (0, 1))) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_constant_difference_is_settled_with_certainty():
    found = main_effect([[0.5, 1.0]] * 3, 0, (1, 0))
    assert fields(found) == (0.5, 0.5, 0.5, 0.0, 0.0)


@pytest.mark.parametrize("scores", [[[1.0, 2.0]], [[1.0, 2.0], [np.nan, 3.0]], np.empty((0, 2))])
def test_single_unit_is_refused(scores):
    with pytest.raises(ValueError, match=r"2 units that have all runs of the contrast, not [01]"):
        main_effect(scores, 0, (0, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: main_effect(x, 2, (0, 1)), "there is no factor 2: scores have 2"),
        (lambda x: main_effect(x, -1, (0, 1)), "there is no factor -1"),
        (lambda x: main_effect(x, 0, (0, 3)), "factor 0 has no level 3: its levels are 0 to 2"),
        (lambda x: interaction(x, (1, 1), (0, 1, 0, 1)), "not factor 1 twice"),
        (lambda x: main_effect(x[:, 0, 0], 0, (0, 1)), r"shape \[units, levels, ...\], not \[4\]"),
        (lambda x: main_effect(x + np.inf, 0, (0, 1)), "must not be infinite"),
        (lambda x: slope(x, [1, 2, 3]), r"shape \[units, 3\], not \[4, 3, 2\]"),
        (lambda x: slope(x[:, :, 0], [1, 1, 1]), "2 different values"),
        (lambda x: slope(x[:, :, 0], [1, np.nan, 1]), "values must be finite"),
        (lambda x: main_effect(x, 0, (0, 1), 95), "coverage must lie between 0 and 1"),
    ],
)
def test_bad_contrast_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(24.0).reshape(4, 3, 2))


def _both(x):
    return interaction(x, (0, 1), (1, 0, 0, 1))
