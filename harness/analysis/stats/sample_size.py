"""Power of the paired t test, and the number of units that a power needs.

This is the power of one look at a level. A study that is looked at several times spends less than its level at each
look, so it needs more units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ncfdtr, stdtrit

from harness.analysis.stats.arrays import Array, share

MOST = 1 << 40  # units; a power that needs more is refused


def power(n: ArrayLike, effect: ArrayLike, level: float = 0.05) -> Array:
    """Return the probability that a two-sided paired t test settles a difference.

    `t^2` of n pairs follows the noncentral F distribution with 1 and n - 1 degrees of freedom and the noncentrality
    `n effect^2`; the power is its upper tail beyond the square of the critical t.

    Args:
        n: Number of pairs, at least 2, any shape.
        effect: True mean difference divided by the standard deviation of the differences; broadcast against `n`.
        level: Error rate of the test.

    Returns:
        The power, of the broadcast shape.

    Raises:
        ValueError: If `n` is below 2, or a number is nan.

    Reference:
        Cohen, Statistical power analysis for the behavioral sciences, 1988, chapter 2.

    >>> power([5, 15, 34], [0.8, 0.8, 0.5]).round(3)
    array([0.281, 0.821, 0.808])
    """
    pairs, size = np.broadcast_arrays(np.asarray(n, np.float64), np.asarray(effect, np.float64))
    if not (np.all(pairs >= 2) and np.all(np.isfinite(pairs) & np.isfinite(size))):
        raise ValueError("power needs at least 2 pairs and a finite effect")
    critical = stdtrit(pairs - 1, share(level, "level") / 2)
    missed = ncfdtr(1, pairs - 1, pairs * size**2, critical**2)
    return np.asarray(1 - np.where(np.isnan(missed), 0.0, missed))  # scipy has nan where it underflows


def units_for_power(effect: float, power_wanted: float = 0.8, level: float = 0.05) -> int:
    """Return the smallest number of pairs with which a two-sided paired t test has a power.

    Take the effect from the smallest difference that matters and the standard deviation of the differences, never from
    the difference observed.

    Args:
        effect: Mean difference to settle divided by the standard deviation of the differences.
        power_wanted: The power.
        level: Error rate of the test.

    Returns:
        Number of pairs, at least 2.

    Raises:
        ValueError: If the effect is 0, not finite, or so small that no study can settle it.

    >>> units_for_power(0.5), units_for_power(0.8), units_for_power(0.8, 0.95)
    (34, 15, 23)
    """
    share(power_wanted, "power_wanted")
    if power(MOST, effect, level) < power_wanted:
        raise ValueError(f"an effect of {effect:g} cannot be settled with a power of {power_wanted:g}")
    below, enough = 1, 2
    while power(enough, effect, level) < power_wanted:
        below, enough = enough, 2 * enough
    while enough - below > 1:
        middle = (below + enough) // 2
        if power(middle, effect, level) < power_wanted:
            below = middle
        else:
            enough = middle
    return enough
