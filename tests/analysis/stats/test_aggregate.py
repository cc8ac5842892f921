"""Tests of aggregates over data sets: scipy, plain definitions, properties, and coverage by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.stats.aggregate import (
    interquartile_mean,
    interquartile_mean_interval,
    normalise,
    performance_profile,
    performance_profile_band,
    probability_of_improvement,
    probability_of_improvement_interval,
)

properties = settings(max_examples=100, deadline=None, derandomize=True)
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)
DATA_SETS = st.lists(st.lists(EIGHTHS, min_size=1, max_size=7), min_size=1, max_size=5)
TWO_RUNS = st.lists(st.lists(EIGHTHS, min_size=2, max_size=6), min_size=1, max_size=3)
INTERVALS = {
    "interquartile mean": interquartile_mean_interval,
    "profile": lambda x, **options: performance_profile_band(x, [-1.0, 0.0, 0.5], **options),
    "improvement": lambda x, **options: probability_of_improvement_interval(x, x[::-1], **options),
    "paired": lambda x, **options: probability_of_improvement_interval(
        x, [runs[::-1] for runs in x[::-1]], paired=True, **options
    ),
}
every_interval = pytest.mark.parametrize("interval", INTERVALS.values(), ids=INTERVALS)


@pytest.mark.parametrize("shape", [(1, 4), (5, 8), (20, 30), (26, 100)])
def test_interquartile_mean_is_the_trimmed_mean_of_scipy(shape):
    """As in rliable: `scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None)`."""
    x = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(interquartile_mean(x), stats.trim_mean(x, 0.25, axis=None), rtol=1e-9, atol=1e-12)


def test_interquartile_mean_counts_runs_on_the_border_in_part():
    np.testing.assert_allclose(interquartile_mean([[1, 2, 4]]), (0.25 * 1 + 2 + 0.25 * 4) / 1.5, rtol=1e-12, atol=1e-12)
    assert interquartile_mean([[3.0]]) == 3.0


def test_data_set_has_weight_1_whatever_its_number_of_runs():
    few, many = [[1, 2], [5, 7]], [[1, 2] * 9, [5, 7]]
    np.testing.assert_allclose(interquartile_mean(many), interquartile_mean(few), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(performance_profile(many, [2, 6]), [0.75, 0.25], rtol=1e-12, atol=1e-12)
    other = [[2], [6]]
    expected = (0.25 + 0.5) / 2
    np.testing.assert_allclose(probability_of_improvement(many, other), expected, rtol=1e-12, atol=1e-12)


@properties
@given(DATA_SETS, st.integers(-3, 3), st.sampled_from([0.25, 1.0, 8.0]))
def test_interquartile_mean_moves_with_shift_and_scale(x, shift, scale):
    moved = [[scale * value + shift for value in runs] for runs in x]
    expected = scale * interquartile_mean(x) + shift
    np.testing.assert_allclose(interquartile_mean(moved), expected, rtol=1e-9, atol=1e-9)


@properties
@given(DATA_SETS, st.randoms(use_true_random=False))
def test_order_of_data_sets_and_runs_does_not_matter(x, random):
    shuffled = [random.sample(runs, len(runs)) for runs in random.sample(x, len(x))]
    np.testing.assert_allclose(interquartile_mean(shuffled), interquartile_mean(x), rtol=1e-9, atol=1e-9)


@properties
@given(DATA_SETS, st.lists(EIGHTHS, min_size=1, max_size=6))
def test_profile_is_the_mean_share_of_runs_with_at_least_each_score(x, thresholds):
    expected = [np.mean([np.mean(np.array(runs) >= t) for runs in x]) for t in thresholds]
    np.testing.assert_allclose(performance_profile(x, thresholds), expected, rtol=1e-9, atol=1e-12)
    assert np.all(np.diff(performance_profile(x, sorted(thresholds))) <= 0)


@properties
@given(DATA_SETS, st.data())
def test_improvement_is_the_mann_whitney_statistic(x, data):
    y = [data.draw(st.lists(EIGHTHS, min_size=1, max_size=7)) for _ in x]
    pairs = list(zip(x, y, strict=True))
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in pairs])
    np.testing.assert_allclose(probability_of_improvement(x, y), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(probability_of_improvement(y, x), 1 - expected, rtol=1e-9, atol=1e-12)
    cubes = [[[value**3 for value in runs] for runs in arm] for arm in (x, y)]
    np.testing.assert_allclose(probability_of_improvement(*cubes), expected, rtol=1e-9, atol=1e-12)


def test_paired_improvement_is_the_share_of_units_won():
    ours, others = [[1, 2, 3, 4], [0, 0]], [[2, 1, 3, 0], [1, 0]]
    assert probability_of_improvement(ours, others, paired=True) == (2.5 / 4 + 0.5 / 2) / 2
    shifted = [[runs[0] + 9, *runs[1:]] for runs in ours], [[runs[0] + 9, *runs[1:]] for runs in others]
    assert probability_of_improvement(*shifted, paired=True) == 0.4375


@every_interval
@properties
@given(TWO_RUNS)
def test_interval_is_ordered_and_repeatable(interval, x):
    x = [runs[:2] for runs in x]
    low, high = interval(x, seed=3, resamples=40)
    assert np.all(low <= high)
    np.testing.assert_array_equal(interval(x, seed=3, resamples=40), (low, high))


@every_interval
def test_seed_and_coverage_matter(interval):
    x = np.random.default_rng(0).normal(size=(3, 9))
    low, high = interval(x, seed=0, resamples=200)
    assert np.any(np.array(interval(x, seed=1, resamples=200)) != (low, high))
    narrow = interval(x, seed=0, resamples=200, coverage=0.5)
    assert np.all((narrow[0] >= low) & (narrow[1] <= high))


@every_interval
def test_single_run_on_a_data_set_has_no_interval(interval):
    with pytest.raises(ValueError, match="at least 2 runs on each data set"):
        interval([[1.0], [2.0]], seed=0)


def test_runs_are_resampled_within_their_data_set():
    """Data sets of constant scores leave nothing to resample, however different they are."""
    assert interquartile_mean_interval([[0.0, 0.0], [1.0, 1.0]], seed=0) == (0.5, 0.5)
    low, high = performance_profile_band([[0.0, 0.0], [1.0, 1.0]], [0.5], seed=0)
    assert low == high == [0.5]


def test_two_runs_are_resampled_one_at_a_time():
    assert interquartile_mean_interval([[0.0, 1.0]], seed=0, coverage=0.4) == (0.0, 1.0)  # two would often give .5


def test_resampled_runs_keep_their_scores():
    """One run is drawn of each: the interquartile mean of two runs is their mean, 2.5, 6.5, 1.5 or 5.5."""
    assert interquartile_mean_interval([[3.0, 1.0], [2.0, 10.0]], seed=0, coverage=0.98) == (1.5, 6.5)


def test_arms_with_different_numbers_of_runs_have_an_interval():
    low, high = probability_of_improvement_interval([[1.0, 2.0, 6.0, 7.0]], [[5.0, 3.0]], seed=0)
    assert 0 <= low < 0.5 < high <= 1


def test_intervals_of_many_runs_are_those_of_the_normal_approximation():
    rng = np.random.default_rng(5)
    x, y = rng.normal(0.3, 1, (2, 800)), rng.normal(0, 1, (2, 800))
    won = np.mean(x > y)
    low, high = probability_of_improvement_interval(x, y, seed=0, paired=True)
    np.testing.assert_allclose(high - low, 2 * 1.96 * (won * (1 - won) / 1600) ** 0.5, rtol=0.08, atol=1e-9)
    share = np.mean(x >= 0.5)
    low, high = performance_profile_band(x, [0.5], seed=0)
    np.testing.assert_allclose(high - low, 2 * 1.96 * (share * (1 - share) / 1600) ** 0.5, rtol=0.08, atol=1e-9)
    # DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988: the variance of the Mann-Whitney statistic
    wins = x[:, :, None] > y[:, None, :]
    variance = np.mean(wins.mean(2).var(1) + wins.mean(1).var(1)) / 800 / 2
    low, high = probability_of_improvement_interval(x, y, seed=0)
    np.testing.assert_allclose(high - low, 2 * 1.96 * variance**0.5, rtol=0.08, atol=1e-9)


def test_resamples_do_not_depend_on_the_size_of_blocks(monkeypatch):
    x = np.random.default_rng(0).normal(size=(3, 5))
    before = interquartile_mean_interval(x, seed=0, resamples=300)
    monkeypatch.setattr("harness.analysis.stats.aggregate.BLOCK", 70)
    assert interquartile_mean_interval(x, seed=0, resamples=300) == before


@pytest.mark.parametrize("transform", [lambda x: 3 * x - 1, lambda x: -x])
def test_normalised_scores_do_not_depend_on_units_or_direction(transform):
    arms, chance = np.random.default_rng(0).random((3, 4)) + 0.5, 0.5
    expected = normalise(arms, chance=chance)
    found = normalise(transform(arms), chance=transform(chance), higher_is_better=transform(1) > transform(0))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(max(arm.mean() for arm in found), 1.0, rtol=1e-12, atol=1e-12)


def test_without_chance_the_worst_arm_is_0():
    found = normalise([[3.0, 5.0], [1.0], [2.0, 2.0]], higher_is_better=False)
    np.testing.assert_allclose(np.concatenate(found), [1 / 3, -1 / 3, 1.0, 2 / 3, 2 / 3], rtol=1e-12, atol=1e-12)


def test_run_below_chance_is_negative():
    assert normalise([[0.25, 1.25]], chance=0.5)[0].tolist() == [-1.0, 3.0]


@pytest.mark.parametrize(
    ("arms", "chance", "message"),
    [
        ([[0.5, 0.5], [0.4]], 0.5, "no arm has a better mean than chance, 0.5"),
        ([[0.5], [0.5]], None, "no arm has a better mean than another"),
        ([[0.5], [np.nan]], 0.1, "scores must be finite"),
        ([[0.5], []], 0.1, "scores must not be empty"),
    ],
)
def test_scale_that_is_undefined_is_refused(arms, chance, message):
    with pytest.raises(ValueError, match=message):
        normalise(arms, chance=chance)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interquartile_mean([]), "there is no data set"),
        (lambda: interquartile_mean([[1.0], [np.inf]]), "scores must be finite"),
        (lambda: interquartile_mean_interval([[1.0, 2.0]], seed=0, resamples=0), "resamples must be at least 1"),
        (lambda: interquartile_mean_interval([[1.0, 2.0]], seed=0, coverage=95), "coverage must lie between"),
        (lambda: probability_of_improvement([[1.0]], [[1.0], [2.0]]), "the same data sets: 1 and 2"),
        (lambda: probability_of_improvement([[1.0]], [[1.0, 2.0]], paired=True), "equally many runs .* 1 and 2"),
    ],
)
def test_bad_scores_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize(("data_sets", "runs", "least"), [(5, 10, 0.92), (20, 3, 0.90), (20, 5, 0.92), (20, 10, 0.925)])
def test_interval_covers_the_interquartile_mean(data_sets, runs, least):
    rng = np.random.default_rng([data_sets, runs])
    center, spread = rng.normal(0, 2, (data_sets, 1)), rng.uniform(0.3, 1, (data_sets, 1))
    truth = interquartile_mean(rng.normal(center, spread, (data_sets, 20_000)))
    covered = 0
    for study in range(1000):
        low, high = interquartile_mean_interval(
            rng.normal(center, spread, (data_sets, runs)), seed=study, resamples=500
        )
        covered += low <= truth <= high
    assert least <= covered / 1000 <= 0.97
