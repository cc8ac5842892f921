"""Ranks of arms over many data sets: Friedman's test and Nemenyi's critical difference.

Each data set gives one score for each arm, usually the mean over its units, and one ranking. Data sets must be
independent: splits and seeds of one data set are not.

Reference:
    Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, fdtrc

from harness.analysis.stats.arrays import Array, finite, share


@dataclass(frozen=True)
class Friedman:
    """Tests of the hypothesis that all arms are equivalent.

    Attributes:
        chi2: Friedman's statistic, corrected for ties.
        p: Its p-value by the chi-squared distribution, which is conservative.
        f: Iman and Davenport's statistic.
        p_f: Its p-value by the F distribution, which is the better approximation.
    """

    chi2: float
    p: float
    f: float
    p_f: float


def ranks(scores: ArrayLike, *, higher_is_better: bool = True) -> Array:
    """Return the ranks of the arms on each data set; 1 is best, and ties share the mean of their ranks.

    Args:
        scores: Scores, shape `[data sets, arms]`.
        higher_is_better: Direction of the scores.

    Returns:
        Ranks, shape `[data sets, arms]`. Their mean over the data sets is the mean rank of each arm.

    >>> ranks([[0.9, 0.8, 0.8], [0.1, 0.2, 0.3]])
    array([[1. , 2.5, 2.5],
           [3. , 2. , 1. ]])
    """
    x = finite(scores, "scores", ("data sets", "arms"))
    x = x if higher_is_better else -x
    better = (x[:, None, :] > x[:, :, None]).sum(2)
    no_worse = (x[:, None, :] >= x[:, :, None]).sum(2)
    return (better + no_worse + 1) / 2


def friedman(scores: ArrayLike) -> Friedman:
    """Test whether all arms are equivalent, by their ranks on the data sets.

    Args:
        scores: Scores, shape `[data sets, arms]`, at least 2 of each; the direction does not matter.

    Returns:
        The statistics and their p-values. If every data set is a tie of all arms, the statistics are 0.

    Raises:
        ValueError: If a score is missing, or there is one data set or arm.

    References:
        Friedman, The use of ranks to avoid the assumption of normality implicit in the analysis of variance, JASA 32,
        1937. Iman and Davenport, Approximations of the critical region of the Friedman statistic, Comm. Statist. 9,
        1980.

    >>> test = friedman([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4], [0.8, 0.6, 0.7], [0.9, 0.7, 0.8]])
    >>> f"{test.chi2:.1f} {test.p:.3f} {test.f:.1f} {test.p_f:.3f}"
    '6.0 0.050 9.0 0.016'
    """
    rank = ranks(scores)
    n, k = rank.shape
    if n < 2 or k < 2:
        raise ValueError(f"Friedman's test needs at least 2 data sets and 2 arms, not {n} and {k}")
    middle = (k + 1) / 2
    spread = float(((rank - middle) ** 2).sum()) / (k - 1)
    chi2 = n**2 * float(((rank.mean(0) - middle) ** 2).sum()) / spread if spread else 0.0
    rest = n * (k - 1) - chi2  # 0 if all data sets have the same ranking
    f = (n - 1) * chi2 / rest if rest > 1e-9 * n * k else np.inf
    return Friedman(chi2, float(chdtrc(k - 1, chi2)), f, float(fdtrc(k - 1, (k - 1) * (n - 1), f)))


def critical_difference(arms: int, data_sets: int, level: float = 0.05) -> float:
    """Return Nemenyi's critical difference: mean ranks that differ by more are settled, over all pairs of arms.

    Args:
        arms: Number of arms, at least 2.
        data_sets: Number of data sets.
        level: Family-wise error rate.

    Returns:
        The critical difference of mean ranks.

    Raises:
        ValueError: If there are fewer arms or no data set.

    Reference:
        Nemenyi, Distribution-free multiple comparisons, PhD thesis, Princeton, 1963.

    >>> round(critical_difference(4, 14), 2)  # Demšar 2006, page 20
    1.25
    """
    if arms < 2 or data_sets < 1:
        raise ValueError(f"a critical difference needs 2 arms and a data set, not {arms} and {data_sets}")
    from scipy.stats import studentized_range  # 0.6 s

    q = float(studentized_range.ppf(1 - share(level, "level"), arms, np.inf)) / 2**0.5
    return q * (arms * (arms + 1) / (6 * data_sets)) ** 0.5


def rank_groups(mean_ranks: ArrayLike, difference: float) -> list[tuple[int, ...]]:
    """Return the bars of a critical-difference diagram: the largest sets of arms that are not settled to differ.

    Args:
        mean_ranks: Mean rank of each arm, shape `[arms]`.
        difference: The critical difference.

    Returns:
        Indices of the arms of each set, the best arm first; sets may overlap. An arm that differs from all others is in
        none.

    >>> rank_groups([3.1, 2.0, 2.9, 1.9], 1.1)
    [(3, 1, 2), (1, 2, 0)]
    """
    rank = finite(mean_ranks, "mean ranks", ("arms",))
    order = np.argsort(rank, kind="stable")
    ascending = rank[order]
    ends = np.searchsorted(ascending, ascending + difference, side="right")
    starts = [i for i in range(len(rank)) if i == 0 or ends[i] > ends[i - 1]]
    return [tuple(order[i : ends[i]].tolist()) for i in starts if ends[i] - i > 1]
