"""Tuning curves of random search: the median of the best score against the number of trials, with a confidence band."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, gammaln, xlogy

from harness.analysis.stats.arrays import Array, share

MOST_EXACT = 500  # trials; the exact band of more takes seconds, and is hardly narrower than the inequality


@dataclass(frozen=True)
class TuningCurve:
    """The median of the best score of 1, 2, ... trials.

    Attributes:
        median: Its estimate at each budget, from 1 to the number of trials.
        low: The lower edge of the band.
        high: The upper edge.
    """

    median: Array
    low: Array
    high: Array


def tuning_curve(
    scores: ArrayLike,
    higher_is_better: bool = True,
    coverage: float = 0.95,
    support: tuple[float, float] = (-np.inf, np.inf),
) -> TuningCurve:
    """Return the tuning curve of random search, with a band that holds at every budget at once.

    The best of m independent trials has the median F⁻¹(0.5^(1/m)), where F is the distribution of the score of one
    trial. A band for F is therefore a band for the curve. Where scores are tied, it holds with more than its coverage.

    Args:
        scores: The score of each trial, in any order; nan, which is worse than all others, if it did not complete.
        higher_is_better: The direction of the scores.
        coverage: Probability that the band holds the whole curve.
        support: The least and the largest possible score. The band ends there where the trials give no bound.

    Returns:
        The curve at the budgets from 1 to the number of trials.

    Raises:
        ValueError: If there are no scores.

    Reference:
        Lourie, Cho and He, Show your work with confidence: confidence bands for tuning curves, 2023, arXiv:2311.09480.

    >>> curve = tuning_curve([0.5, 0.1, 0.9, 0.7, 0.3, 0.8, 0.2, 0.6], support=(0, 1))
    >>> curve.median[[0, 1, 3]].tolist()
    [0.5, 0.7, 0.8]
    >>> curve.low[[0, 1, 3]].tolist(), curve.high[[0, 1, 3]].tolist()
    ([0.1, 0.2, 0.5], [0.9, 1.0, 1.0])
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"scores must have the shape [trials], and not be empty: their shape is {list(values.shape)}")
    sign = 1 if higher_is_better else -1
    worst, best = sorted(sign * end for end in support)
    n = values.size
    ordered = np.sort(np.clip(np.nan_to_num(sign * values, nan=-np.inf, posinf=np.inf, neginf=-np.inf), worst, best))
    quantile = 0.5 ** (1 / np.arange(1, n + 1))
    low, high = order_statistics_band(n, coverage) if n <= MOST_EXACT else inequality_band(n, coverage)
    rounding = 1e-12
    median = ordered[np.ceil(n * quantile - rounding).astype(int) - 1]
    lower = np.concatenate([[worst], ordered])[np.searchsorted(high, quantile)]
    upper = np.concatenate([ordered, [best]])[np.searchsorted(low, quantile)]
    if higher_is_better:
        return TuningCurve(median, lower, upper)
    return TuningCurve(-median, -upper, -lower)


def best_so_far(scores: ArrayLike, higher_is_better: bool = True) -> Array:
    """Return the best score of the first 1, 2, ... trials; nan as long as none completed.

    Args:
        scores: The score of each trial, in the order of the trials; nan for one that did not complete.
        higher_is_better: The direction of the scores.

    >>> best_so_far([np.nan, 0.5, 0.4, 0.7]).tolist()
    [nan, 0.5, 0.5, 0.7]
    """
    values = np.asarray(scores, dtype=np.float64)
    best: Array = np.fmax.accumulate(values) if higher_is_better else np.fmin.accumulate(values)
    return best


def inequality_band(n: int, coverage: float = 0.95) -> tuple[Array, Array]:
    """Return an interval for each of n ordered uniform numbers; all hold together with at least the coverage.

    Args:
        n: How many numbers there are.
        coverage: Least probability that no number lies outside of its interval.

    Reference:
        Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Annals of Probability 18, 1990.

    >>> low, high = inequality_band(1000)
    >>> [round(float(x), 3) for x in (low[499], high[499])]
    [0.457, 0.542]
    """
    places, width = np.arange(1, n + 1), np.sqrt(np.log(2 / (1 - share(coverage, "coverage"))) / (2 * n))
    return np.maximum(places / n - width, 0), np.minimum((places - 1) / n + width, 1)


@functools.lru_cache(64)
def order_statistics_band(n: int, coverage: float = 0.95) -> tuple[Array, Array]:
    """Return an interval for each of n ordered uniform numbers; all intervals hold together with exactly the coverage.

    The intervals are the equal-tailed ones of the order statistics, which are beta distributed, each with the same
    probability.

    Args:
        n: How many numbers there are.
        coverage: Probability that no number lies outside of its interval.

    Reference:
        Learned-Miller and DeStefano, A probabilistic upper bound on differential entropy, IEEE Transactions on
        Information Theory 54, 2008.

    >>> low, high = order_statistics_band(2)
    >>> [round(float(x), 3) for x in (*low, *high)]
    [0.007, 0.115, 0.885, 0.993]
    """
    from scipy.optimize import brentq  # which takes .1 s to import

    error = 1 - share(coverage, "coverage")
    places = np.arange(1, n + 1)

    def band(tails: float) -> tuple[Array, Array]:
        low = betaincinv(places, n + 1 - places, tails / 2)
        return low, 1 - low[::-1]

    def excess(logarithm: float) -> float:
        return probability_inside(*band(float(np.exp(logarithm)))) - coverage

    if n == 1:
        return band(error)
    return band(float(np.exp(brentq(excess, np.log(error / n), np.log(error), xtol=1e-9))))


def probability_inside(low: Array, high: Array) -> float:
    """Return the probability that each of n ordered uniform numbers lies in its interval.

    A Poisson process of rate n on [0, 1] with n points has these numbers as its points. Its counts are followed from
    one end of an interval to the next; counts that break a bound are dropped.

    Args:
        low: The lower ends, ascending, shape [n].
        high: The upper ends, ascending, shape [n].

    Reference:
        Moscovich and Nadler, Fast calculation of boundary crossing probabilities for Poisson processes, Statistics and
        Probability Letters 123, 2017.

    >>> round(probability_inside(np.array([0.0, 0.5]), np.array([0.5, 1.0])), 12)  # one number in each half
    0.5
    """
    n = low.size
    counts, before = np.array([1.0]), 0.0
    steps = np.arange(n + 1)
    factorials = gammaln(steps + 1)
    for end, place in sorted(zip([*low, *high, 1.0], range(2 * n + 1), strict=True)):
        mean = n * (end - before)
        counts = np.convolve(counts, np.exp(xlogy(steps, mean) - mean - factorials))[: n + 1]
        before = end
        if place < n:
            counts[place + 1 :] = 0  # before its lower end, number `place` and those above it have not come
        elif place < 2 * n:
            counts[: place - n + 1] = 0  # by its upper end, it and those below it have come
    return float(counts[n] / np.exp(xlogy(n, n) - n - factorials[n]))
