"""Survival analysis of the epochs (or seconds) to a target, where some runs stop before they reach it.

A run that ends without the target is censored: it needs more epochs than it made. The mean of the runs that did reach
the target would leave it out, and favour an arm that rarely reaches the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri

from harness.analysis.stats.arrays import Array, finite, share


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier estimate of the share of runs that have not reached the target.

    All arrays have the shape `[times]`. Before the first time the share is 1.

    Attributes:
        times: Times at which a run reached the target, ascending.
        at_risk: Number of runs still short of the target just before each time.
        reached: Number of runs that reached the target at each time.
        share: Share of runs that have not reached it after each time.
        low: Lower end of the interval of the share.
        high: Upper end.
    """

    times: Array
    at_risk: Array
    reached: Array
    share: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class LogRank:
    """Test of the hypothesis that all groups reach the target equally fast.

    Attributes:
        chi2: The statistic.
        df: Its degrees of freedom: the groups that had a run left when one reached the target, minus 1.
        p: Its p-value.
    """

    chi2: float
    df: int
    p: float


def kaplan_meier(times: ArrayLike, reached: ArrayLike, coverage: float = 0.95) -> Survival:
    """Estimate the share of runs that have not reached the target, over time.

    The interval at each time has Greenwood's variance on the scale of `log(-log(share))`, so it stays between 0 and 1.
    Where the share is 0 the variance is undefined; the interval goes from 0 to the end before it.

    Args:
        times: Epochs (or seconds) to the target, or at the end of a run that did not reach it; shape `[runs]`, at
            least 0.
        reached: True where the run reached the target, shape `[runs]`.
        coverage: Nominal coverage of the interval at each time by itself.

    Returns:
        The estimate; without times if no run reached the target.

    Raises:
        ValueError: If a time is negative, or the shapes differ.

    References:
        Kaplan and Meier, Nonparametric estimation from incomplete observations, JASA 53, 1958. Kalbfleisch and
        Prentice, The statistical analysis of failure time data, 2002, section 1.4.

    >>> curve = kaplan_meier([2, 3, 3, 5], [True, True, False, True])
    >>> curve.times, curve.share
    (array([2., 3., 5.]), array([0.75, 0.5 , 0.  ]))
    """
    t, hit = _runs(times, reached)
    at = np.unique(t[hit])
    at_risk, events = _counts(t, hit, at)
    left = at_risk - events
    survival = np.cumprod(left / at_risk, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # the share is 0 at the last time, if its run reached it
        greenwood = np.sqrt(np.cumsum(events / (at_risk * left)))
        width = float(ndtri((1 + share(coverage, "coverage")) / 2)) * greenwood / -np.log(survival)
        low, high = survival ** np.exp(width), survival ** np.exp(-width)
    if len(at) and left[-1] == 0:
        low[-1], high[-1] = 0.0, high[-2] if len(at) > 1 else 1.0
    return Survival(at, at_risk, events, survival, low, high)


def median_time(curve: Survival) -> tuple[float | None, float | None, float | None]:
    """Return the median time to the target, with its interval.

    Args:
        curve: The Kaplan-Meier estimate. The coverage of its interval is that of the median.

    Returns:
        The first time at which half of the runs have reached the target, and the lower and upper end of its interval.
        None where the curve (or its upper edge) stays above one half: more epochs are needed to know.

    Reference:
        Brookmeyer and Crowley, A confidence interval for the median survival time, Biometrics 38, 1982.

    >>> median_time(kaplan_meier([2, 3, 3, 5], [True, True, False, True]))
    (3.0, 2.0, None)
    """

    def first(edge: Array) -> float | None:
        half = np.flatnonzero(edge <= 0.5 + 1e-9)  # products of shares round: 3/4 * 2/3
        return float(curve.times[half[0]]) if len(half) else None

    return first(curve.share), first(curve.low), first(curve.high)


def log_rank(times: ArrayLike, reached: ArrayLike, groups: ArrayLike) -> LogRank:
    """Test whether groups of runs reach the target equally fast.

    Args:
        times: Epochs (or seconds) to the target, or at the end of a run that did not reach it; shape `[runs]`.
        reached: True where the run reached the target, shape `[runs]`.
        groups: Label of the group (the arm) of each run, shape `[runs]`, at least 2 different ones.

    Returns:
        The test. Without a run that reached the target p is 1.

    Raises:
        ValueError: If a time is negative, the shapes differ, or there is one group.

    Reference:
        Mantel, Evaluation of survival data and two new rank order statistics, Cancer Chemother. Rep. 50, 1966.

    >>> test = log_rank([1, 2, 3, 6, 7, 8], [True] * 6, ["a", "a", "a", "b", "b", "b"])
    >>> f"{test.chi2:.2f} {test.df} {test.p:.3f}"
    '5.05 1 0.025'
    """
    t, hit = _runs(times, reached)
    labels, group = np.unique(np.asarray(groups), return_inverse=True)
    if group.shape != t.shape:
        raise ValueError(f"times and groups must have equally many runs: {len(t)} and {group.size}")
    if len(labels) < 2:
        raise ValueError("a log-rank test needs at least 2 groups")
    at = np.unique(t[hit])
    at_risk, events = _counts(t, hit, at)
    risk, seen = np.array([_counts(t[group == g], hit[group == g], at) for g in range(len(labels))]).swapaxes(0, 1)
    portion = risk / at_risk
    expected = portion * events
    factor = events * (at_risk - events) / np.maximum(at_risk - 1, 1)
    covariance = np.diag((portion * factor).sum(1)) - (portion * factor) @ portion.T
    excess = (seen - expected).sum(1)
    chi2 = float(excess @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ excess)
    df = max(0, int((expected.sum(1) > 0).sum()) - 1)
    return LogRank(chi2, df, float(chdtrc(df, chi2)) if df else 1.0)


def _runs(times: ArrayLike, reached: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    t, hit = finite(times, "times", ("runs",)), np.asarray(reached)
    if hit.dtype != np.bool_:
        raise ValueError(f"reached must be True or False for each run, not {hit.dtype}")
    if hit.shape != t.shape:
        raise ValueError(f"times and reached must have equally many runs: {len(t)} and {hit.size}")
    if t.min() < 0:
        raise ValueError(f"times must not be negative: {t.min():g}")
    return t, hit


def _counts(t: Array, hit: NDArray[np.bool_], at: Array) -> tuple[Array, Array]:
    """Return how many runs are short of the target just before each time, and how many reach it then."""
    ordered, events = np.sort(t), np.sort(t[hit])
    at_risk = len(t) - np.searchsorted(ordered, at, side="left")
    reached = np.searchsorted(events, at, side="right") - np.searchsorted(events, at, side="left")
    return at_risk.astype(np.float64), reached.astype(np.float64)
