"""Aggregate the scores of an arm over data sets, each data set with weight 1, with stratified bootstrap intervals.

The scores of an arm are a sequence with one array of runs for each data set; an array `[data sets, runs]` is such a
sequence too. Data sets may differ in their number of runs.

Intervals resample runs within each data set, so their scope is new runs on the same data sets. A resample draws one run
fewer than a data set has: with all runs drawn, the interval is too narrow by `sqrt(1 - 1/n)`. Simulated coverage (2,000
studies, normal scores, spreads that differ between data sets) of 95% intervals of the interquartile mean:

| data sets | runs on each | one fewer drawn | all drawn |
| --- | --- | --- | --- |
| 5 | 3, 5, 10 | .89, .93, .93 | .83, .90, .92 |
| 20 | 3, 5, 10 | .93, .94, .94 | .87, .91, .93 |

References:
    Agarwal, Schwarzer, Castro, Courville and Bellemare, Deep reinforcement learning at the edge of the statistical
    precipice, NeurIPS 2021. Rao and Wu, Resampling inference with complex survey data, JASA 83, 1988 (one run fewer).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.analysis.stats.arrays import Array, finite, share

BLOCK = 1 << 15  # weights of resamples at a time: they fit the cache, which is 4 times as fast as 1 << 20


def normalise(
    scores: Sequence[ArrayLike], *, chance: float | None = None, higher_is_better: bool = True
) -> list[Array]:
    """Map the scores of all arms on one data set to a scale on which data sets can be averaged.

    0 is the score of a constant prediction, 1 is the mean of the best arm. Both ends mean the same on every data set,
    and neither depends on one lucky run: a maximum would. A score below chance is negative, and a run better than the
    mean of the best arm is above 1. Without a chance level, 0 is the mean of the worst arm; then the scale depends on
    which arms are compared.

    Args:
        scores: The scores of the runs of each arm.
        chance: Score of a constant prediction on this data set, or None.
        higher_is_better: Direction of the scores. Normalised scores are always better when higher.

    Returns:
        The normalised scores of each arm.

    Raises:
        ValueError: If no arm has a better mean than chance (than another arm): the scale is undefined.

    >>> normalise([[0.6, 0.8], [0.9, 0.9]], chance=0.5)
    [array([0.25, 0.75]), array([1., 1.])]
    """
    arms = [finite(arm, "scores", ("runs",)) for arm in scores]
    means = [float(arm.mean()) for arm in arms]
    best, worst = (max(means), min(means)) if higher_is_better else (min(means), max(means))
    zero = worst if chance is None else float(chance)
    if not (best > zero if higher_is_better else best < zero):
        other = "another" if chance is None else f"chance, {chance:g}"
        raise ValueError(f"scores cannot be normalised: no arm has a better mean than {other}")
    return [(arm - zero) / (best - zero) for arm in arms]


def interquartile_mean(scores: Sequence[ArrayLike]) -> float:
    """Return the mean of the middle half of the runs over all data sets.

    A quarter of the weight is left out at each end. A run on a border counts in part, and each data set has weight 1
    whatever its number of runs. For equal numbers of runs that are multiples of 4 it is the mean trimmed by 25%.

    Args:
        scores: Scores of the runs on each data set.

    Returns:
        The interquartile mean.

    >>> interquartile_mean([[0.0, 0.5], [0.75, 10.0]])
    0.625
    """
    values, weights, _ = _pool(_data_sets(scores))
    return float(_middle(values, weights[None])[0])


def interquartile_mean_interval(
    scores: Sequence[ArrayLike], *, seed: int, resamples: int = 2000, coverage: float = 0.95
) -> tuple[float, float]:
    """Return the stratified bootstrap interval of the interquartile mean.

    Args:
        scores: Scores of the runs on each data set, at least 2 on each.
        seed: Seed of the resamples.
        resamples: Number of resamples.
        coverage: Nominal coverage.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: If a data set has one run.

    >>> low, high = interquartile_mean_interval([[0.7, 0.8, 0.9, 0.8], [0.5, 0.5, 0.6, 0.7]], seed=0)
    >>> low < interquartile_mean([[0.7, 0.8, 0.9, 0.8], [0.5, 0.5, 0.6, 0.7]]) < high
    True
    """
    sets = _data_sets(scores)
    values, _, order = _pool(sets)
    drawn = _resamples([len(runs) for runs in sets], seed, resamples)
    low, high = _percentiles([_middle(values, weights[:, order] / len(sets)) for weights in drawn], coverage)
    return float(low), float(high)


def performance_profile(scores: Sequence[ArrayLike], thresholds: ArrayLike) -> Array:
    """Return the share of runs that score at least each threshold, each data set with weight 1.

    Args:
        scores: Scores of the runs on each data set.
        thresholds: Scores, shape `[t]`.

    Returns:
        Shares, shape `[t]`.

    >>> performance_profile([[0.2, 0.4], [0.6, 0.8]], [0.0, 0.4, 0.5, 1.0])
    array([1.  , 0.75, 0.5 , 0.  ])
    """
    values, weights, _ = _pool(_data_sets(scores))
    return _at_least(values, weights[None], finite(thresholds, "thresholds", ("t",)))[0]


def performance_profile_band(
    scores: Sequence[ArrayLike], thresholds: ArrayLike, *, seed: int, resamples: int = 2000, coverage: float = 0.95
) -> tuple[Array, Array]:
    """Return the stratified bootstrap interval of a performance profile at each threshold.

    Args:
        scores: Scores of the runs on each data set, at least 2 on each.
        thresholds: Scores, shape `[t]`.
        seed: Seed of the resamples.
        resamples: Number of resamples.
        coverage: Nominal coverage at each threshold by itself.

    Returns:
        The lower and the upper edge, each `[t]`.

    Raises:
        ValueError: If a data set has one run.

    >>> low, high = performance_profile_band([[0.2, 0.4, 0.5], [0.6, 0.8, 0.9]], [0.1, 0.7, 1.0], seed=0)
    >>> low, high
    (array([1., 0., 0.]), array([1. , 0.5, 0. ]))
    """
    sets = _data_sets(scores)
    values, _, order = _pool(sets)
    at = finite(thresholds, "thresholds", ("t",))
    drawn = _resamples([len(runs) for runs in sets], seed, resamples)
    return _percentiles([_at_least(values, weights[:, order] / len(sets), at) for weights in drawn], coverage)


def probability_of_improvement(
    scores: Sequence[ArrayLike], against: Sequence[ArrayLike], *, paired: bool = False
) -> float:
    """Return the probability that a run of one arm scores higher than a run of another on the same data set.

    Ties count half. The probabilities of the data sets are averaged.

    Args:
        scores: Scores of the runs on each data set.
        against: Scores of the other arm.
        paired: Compare run i with run i, which share a unit. Otherwise compare every pair of runs.

    Returns:
        The probability.

    Raises:
        ValueError: If the arms differ in their number of data sets, or paired arms in their number of runs.

    >>> probability_of_improvement([[1, 2, 3, 4]], [[1, 1, 4, 4]])
    0.5
    >>> probability_of_improvement([[1, 2, 3, 4]], [[1, 1, 4, 4]], paired=True)
    0.5
    """
    return float(np.mean([wins.mean() for wins in _wins(scores, against, paired)]))


def probability_of_improvement_interval(
    scores: Sequence[ArrayLike],
    against: Sequence[ArrayLike],
    *,
    seed: int,
    paired: bool = False,
    resamples: int = 2000,
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Return the stratified bootstrap interval of the probability of improvement.

    Runs of both arms are resampled independently, or the units if the arms are paired.

    Args:
        scores: Scores of the runs on each data set, at least 2 on each.
        against: Scores of the other arm.
        seed: Seed of the resamples.
        paired: Compare run i with run i, which share a unit.
        resamples: Number of resamples.
        coverage: Nominal coverage.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: If a data set has one run, the arms differ in their number of data sets, or paired arms in their
            number of runs.

    >>> probability_of_improvement_interval([[3, 4, 5]], [[1, 2, 2]], seed=0)
    (1.0, 1.0)
    """
    wins = _wins(scores, against, paired)
    sizes = [len(w) for w in wins] + ([] if paired else [w.shape[1] for w in wins])
    ends = np.cumsum(sizes)[:-1]
    shares = []
    for weights in _resamples(sizes, seed, resamples):
        runs = np.split(weights, ends, axis=1)
        if paired:
            each = [r @ w for r, w in zip(runs, wins, strict=True)]
        else:
            ours, others = runs[: len(wins)], runs[len(wins) :]
            each = [((r @ w) * o).sum(1) for r, w, o in zip(ours, wins, others, strict=True)]
        shares.append(np.mean(each, axis=0))
    low, high = _percentiles(shares, coverage)
    return float(low), float(high)


def _data_sets(scores: Sequence[ArrayLike]) -> list[Array]:
    if not len(scores):
        raise ValueError("scores must not be empty: there is no data set")
    return [finite(runs, "scores", ("runs",)) for runs in scores]


def _pool(sets: list[Array]) -> tuple[Array, Array, NDArray[np.intp]]:
    """Return the scores of all runs in ascending order, their weights, and their positions before sorting."""
    values = np.concatenate(sets)
    weights = np.concatenate([np.full(len(runs), 1 / (len(runs) * len(sets))) for runs in sets])
    order = np.argsort(values, kind="stable")
    return values[order], weights[order], order


def _wins(scores: Sequence[ArrayLike], against: Sequence[ArrayLike], paired: bool) -> list[Array]:
    """Return 1, 1/2 or 0 for each pair of runs on each data set: `[runs]` if paired, else `[runs, other runs]`."""
    ours, others = _data_sets(scores), _data_sets(against)
    if len(ours) != len(others):
        raise ValueError(f"arms must have the same data sets: {len(ours)} and {len(others)}")
    if paired and (unlike := [(len(a), len(b)) for a, b in zip(ours, others, strict=True) if len(a) != len(b)]):
        raise ValueError("paired arms must have equally many runs on a data set: {} and {}".format(*unlike[0]))
    rows = ours if paired else [runs[:, None] for runs in ours]
    return [((a > b) + (a >= b).astype(np.float64)) / 2 for a, b in zip(rows, others, strict=True)]


def _resamples(sizes: list[int], seed: int, resamples: int) -> Iterator[Array]:
    """Yield blocks of resamples as weights of the runs, `[resamples, runs]`; those of a data set sum to 1."""
    if min(sizes) < 2:
        raise ValueError("a bootstrap interval needs at least 2 runs on each data set")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    drawn = [size - 1 for size in sizes]
    first = np.repeat(np.cumsum([0, *sizes[:-1]]), drawn)
    size = np.repeat(sizes, drawn)
    weight = np.repeat(1 / np.array(drawn), sizes)
    runs, rng = sum(sizes), np.random.default_rng(seed)
    rows = max(1, BLOCK // runs)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        chosen = first + (rng.random((count, len(first))) * size).astype(np.intp)
        chosen += runs * np.arange(count)[:, None]
        yield np.bincount(chosen.ravel(), minlength=count * runs).reshape(count, runs) * weight


def _middle(values: Array, weights: Array) -> Array:
    """Return the mean of the middle half of ascending values for each row of weights, which sums to 1."""
    kept = np.diff(np.clip(np.cumsum(weights, axis=1), 0.25, 0.75), axis=1, prepend=0.25)
    return 2 * kept @ values


def _at_least(values: Array, weights: Array, thresholds: Array) -> Array:
    """Return the weight of ascending values that are at least each threshold: `[rows, thresholds]`."""
    from_the_end = np.cumsum(weights[:, ::-1], axis=1)
    from_the_end = np.concatenate([np.zeros((len(weights), 1)), from_the_end], axis=1)
    return np.minimum(from_the_end[:, len(values) - np.searchsorted(values, thresholds)], 1.0)


def _percentiles(blocks: list[Array], coverage: float) -> tuple[Array, Array]:
    tail = (1 - share(coverage, "coverage")) / 2
    low, high = np.quantile(np.concatenate(blocks), (tail, 1 - tail), axis=0)
    return low, high
