"""The rule by which classes are imbalanced; the doctor's finding uses the same bounds of the counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

IMBALANCED = 1.5  # ratio of the largest to the smallest class: 60% to 40% for two classes
ERROR = 0.1  # over all classes: of two classes each has a bound of 95%


def sure_ratio(counts: Sequence[int], quantile: float = 1.64) -> float:
    """Return a lower bound of the ratio of the largest class to the smallest; few samples are uneven by chance.

    With n samples of the largest and m of the smallest class, and z = `quantile`, it is

        (n - z √n) / (m + z √m + 1)

    Args:
        counts: Samples of each class.
        quantile: Standard errors of a count; the default bounds each at 95%.

    >>> round(sure_ratio([900, 100]), 2), round(sure_ratio([9, 1]), 2)
    (7.25, 1.12)
    """
    most, least = max(counts), min(counts)
    return (most - quantile * math.sqrt(most)) / (least + quantile * math.sqrt(least) + 1)


def imbalanced(counts: Sequence[int]) -> bool:
    """Return True if the largest class surely has one and a half times the samples of the smallest.

    The largest of many classes is large by chance: the bounds hold for all classes together.

    >>> imbalanced([140, 60]), imbalanced([14, 6])
    (True, False)
    """
    return sure_ratio(counts, NormalDist().inv_cdf(1 - ERROR / max(2, len(counts)))) >= IMBALANCED
