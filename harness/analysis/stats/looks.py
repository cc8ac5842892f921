"""Error spending: a verdict stays valid when seeds are added and the study is looked at again."""

from __future__ import annotations

import math

from harness.analysis.stats.paired import ALPHA

LEAST_PLANNED = 30


def planned_units(first: int) -> int:
    """Return the number of units that is planned if the user names none.

    Args:
        first: Number of units at the first look.
    """
    return max(LEAST_PLANNED, first)


def spend(n: int, before: int, planned: int, alpha: float = ALPHA) -> float:
    """Return the error rate that a look spends: alpha (sqrt(n / planned) - sqrt(before / planned)).

    The rates of all looks add up to at most alpha, so that by Bonferroni's inequality at most a share alpha of equal
    pairs is ever called different, whenever one looks. Looking at the same data again spends nothing.

    Args:
        n: Number of units at this look.
        before: Number of units at the last look, 0 at the first.
        planned: Number of units at which all of alpha is spent; further units spend nothing.
        alpha: Error rate of all looks together.

    Raises:
        ValueError: If a number is negative, or `planned` is not positive.

    >>> [round(spend(n, before, 30), 4) for n, before in ((10, 0), (20, 10), (30, 20), (40, 30))]
    [0.0289, 0.012, 0.0092, 0.0]
    """
    if min(n, before) < 0 or planned < 1:
        raise ValueError(f"numbers of units must not be negative, got {n}, {before} of {planned}")
    spent, now = (math.sqrt(min(units, planned) / planned) for units in (before, n))
    return alpha * max(0.0, now - spent)
