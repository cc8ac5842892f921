"""Multiple comparisons: Holm's procedure with unequal levels, and groups of arms."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(
    p: ArrayLike, level: ArrayLike = 0.05, family: int | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Reject hypotheses by Holm's step-down procedure.

    Args:
        p: p-values of one family `[m]`, each in [0, 1].
        level: Error rate of the family, or one rate for each hypothesis `[m]`: its p-value is then compared with its
            own rate, as in a weighted Bonferroni test. A rate of 0 rejects nothing.
        family: Number of hypotheses of the family if only some of them are tested, >= m; the procedure is then
            conservative.

    Returns:
        Whether each hypothesis is rejected `[m]`, and the number `[m]` by which its rate was divided. An interval at
        that rate excludes 0 exactly if the hypothesis is rejected.

    Raises:
        ValueError: If a p-value lies outside of [0, 1].

    Reference:
        Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.

    >>> rejected, divisor = holm([0.01, 0.04, 0.03])
    >>> rejected.tolist(), divisor.tolist()
    ([True, False, False], [3, 2, 2])
    """
    values = np.asarray(p, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a p-value must be between 0 and 1")
    rates = np.broadcast_to(np.asarray(level, np.float64), values.shape)
    scaled = np.full(values.shape, np.inf)
    np.divide(values, rates, out=scaled, where=rates > 0)
    order = np.argsort(scaled, kind="stable")
    divisors = (len(values) if family is None else family) - np.arange(len(values))
    passes = np.logical_and.accumulate(scaled[order] * divisors <= 1)
    failed = int(passes.sum())  # position of the first hypothesis that is not rejected
    rejected = np.zeros(values.shape, bool)
    rejected[order] = passes
    divisor = np.empty(values.shape, np.int64)
    divisor[order] = np.where(passes, divisors, divisors[min(failed, len(values) - 1)] if len(values) else 1)
    return rejected, divisor


def groups(arms: Sequence[str], settled: Set[frozenset[str]]) -> list[list[str]]:
    """Return the largest sets of arms in which no two are settled to differ.

    Args:
        arms: Names of the arms, the best first.
        settled: Pairs of arms whose difference is settled.

    Returns:
        The sets, each in the order of `arms`, the one with the best arm first.

    >>> groups(["a", "b", "c"], {frozenset("ac")})
    [['a', 'b'], ['b', 'c']]
    """
    rank = {arm: i for i, arm in enumerate(arms)}
    near = {a: {b for b in arms if b != a and frozenset((a, b)) not in settled} for a in arms}
    found: list[list[str]] = []
    stack: list[tuple[set[str], set[str], set[str]]] = [(set(), set(arms), set())]
    while stack:  # Bron and Kerbosch, Finding all cliques of an undirected graph, CACM 16, 1973
        chosen, candidates, done = stack.pop()
        if not candidates and not done:
            found.append(sorted(chosen, key=rank.__getitem__))
            continue
        if not candidates:
            continue
        pivot = max(candidates | done, key=lambda a: len(near[a] & candidates))
        for arm in sorted(candidates - near[pivot], key=rank.__getitem__):
            stack.append((chosen | {arm}, candidates & near[arm], done & near[arm]))
            candidates = candidates - {arm}
            done = done | {arm}
    return sorted((group for group in found if group), key=lambda group: [rank[arm] for arm in group])
