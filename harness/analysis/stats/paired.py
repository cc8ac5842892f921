"""Estimates and tests of paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, stdtr, stdtrit

ALPHA = 0.05
POWER = 0.8
MIN_PAIRS = 3  # below, the interval of a mean has too few degrees of freedom to mean anything
MOST_UNITS = 100_000  # that `units_needed` looks at


@dataclass(frozen=True)
class Estimate:
    """The mean of paired differences.

    Attributes:
        n: Number of pairs.
        mean: Mean difference.
        sd: Standard deviation of the differences.
        error: Standard error of the mean.
        low: Lower end of the interval.
        high: Upper end.
        p: Two-sided p-value of a mean of 0.
    """

    n: int
    mean: float
    sd: float
    error: float
    low: float
    high: float
    p: float


def estimate(d: ArrayLike, alpha: float = ALPHA, resolution: float = 0.0) -> Estimate:
    """Estimate the mean of paired differences by Student's t.

    Args:
        d: Differences `[n]`, finite, n >= 2.
        alpha: Error rate; the interval covers the mean with probability 1 - alpha.
        resolution: Step in which the values that were subtracted are measured, 1/n for shares k/n. The standard
            deviation is at least that of the rounding, so that a few equal differences are not taken for certainty.

    Raises:
        ValueError: If there are fewer than two differences, or one is not finite.

    >>> e = estimate([1.0, 2.0, 3.0])
    >>> f"{e.mean:.1f} [{e.low:.2f}, {e.high:.2f}] p {e.p:.3f}"
    '2.0 [-0.48, 4.48] p 0.074'
    """
    x = _finite(d)
    if x.size < 2:
        raise ValueError(f"an interval needs at least two differences, got {x.size}")
    mean = float(x.mean())
    sd = max(float(x.std(ddof=1)), resolution / math.sqrt(6))  # of the difference of two uniform rounding errors
    if sd <= 1e-12 * abs(mean):  # equal up to rounding
        sd = 0.0
    return student(x.size, mean, sd, sd / math.sqrt(x.size), alpha)


def student(n: int, mean: float, sd: float, error: float, alpha: float = ALPHA) -> Estimate:
    """Return the estimate with Student's t interval from a mean and its standard error.

    Args:
        n: Number of pairs.
        mean: Mean difference.
        sd: Standard deviation of the differences.
        error: Standard error of the mean.
        alpha: Error rate.
    """
    if error == 0:
        return Estimate(n, mean, sd, error, mean, mean, 1.0 if mean == 0 else 0.0)
    half = float(stdtrit(n - 1, 1 - alpha / 2)) * error
    p = float(2 * stdtr(n - 1, -abs(mean) / error))
    return Estimate(n, mean, sd, error, mean - half, mean + half, p)


def _finite(d: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(d, np.float64).ravel()
    if not np.isfinite(x).all():
        raise ValueError("a difference is not finite")
    return x


def equivalence(e: Estimate, margin: float) -> float:
    """Return the p-value of two one-sided t tests (TOST) that the mean lies inside of +-margin.

    Args:
        e: The estimate, at any error rate.
        margin: Largest difference that counts as equal, > 0.

    Reference:
        Schuirmann, A comparison of the two one-sided tests procedure and the power approach, J. Pharmacokinet.
        Biopharm. 15, 1987.

    >>> round(equivalence(estimate([0.1, -0.2, 0.05, 0.0]), margin=1.0), 4)
    0.0003
    """
    if e.error == 0:
        return 0.0 if abs(e.mean) < margin else 1.0
    return float(stdtr(e.n - 1, -(margin - abs(e.mean)) / e.error))


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p-value of the sign test; ties are left out by the caller.

    With n pairs it is at least 2 / 2^n: below 6 pairs it settles nothing at .05.

    >>> sign_test(5, 0), sign_test(6, 0)
    (0.0625, 0.03125)
    """
    n = wins + losses
    return min(1.0, 2 * float(bdtr(min(wins, losses), n, 0.5))) if n else 1.0


def floor(e: Estimate, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the smallest mean difference that a design settles with the given power.

    It is (t(1 - alpha/2) + t(power)) times the standard error. This is below the exact value of the noncentral t
    distribution: at alpha = .05 by 5% for 3 pairs and .2% for 10, at alpha = .01 by 10% and 2%.

    Args:
        e: The estimate, at any error rate.
        alpha: Error rate of the test.
        power: Share of studies that settle this difference.

    >>> round(floor(estimate([1.0, 2.0, 3.0])), 2)
    3.1
    """
    return _detectable(e.n, alpha, power) * e.error


def _detectable(n: int, alpha: float, power: float) -> float:
    """Return the smallest mean difference that is settled, in standard errors."""
    return float(stdtrit(n - 1, 1 - alpha / 2) + stdtrit(n - 1, power))


def units_needed(sd: float, margin: float, level: Callable[[int], float], power: float = POWER) -> int | None:
    """Return the smallest number of pairs that settles a difference of `margin` with the given power.

    Args:
        sd: Standard deviation of the differences.
        margin: The smallest difference that matters, > 0. It must not come from the observed effect: numbers of pairs
            computed from that are off by a factor of 3 in half of all studies.
        level: Error rate of the test, as a function of the number of pairs.
        power: Share of studies that settle this difference.

    Returns:
        The number, or None if it is above 100,000.

    >>> units_needed(1.0, 0.8, lambda n: 0.05)
    15
    """
    low, high = MIN_PAIRS - 1, MIN_PAIRS
    while not _settles(sd, high, margin, level, power):
        if high >= MOST_UNITS:
            return None
        low, high = high, min(2 * high, MOST_UNITS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _settles(sd, middle, margin, level, power) else (middle, high)
    return high


def _settles(sd: float, n: int, margin: float, level: Callable[[int], float], power: float) -> bool:
    alpha = level(n)
    return alpha > 0 and _detectable(n, alpha, power) * sd / math.sqrt(n) <= margin


def shares(values: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return shares k/n, rounded to the nearest such number: in float32, 344/360 is .95555558.

    >>> float(shares([0.9555555582], 360)[0]) == 344 / 360
    True
    """
    return np.asarray(np.rint(np.asarray(values, np.float64) * n) / n)
