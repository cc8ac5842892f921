"""Comparison of arms whose runs fail or diverge."""

from __future__ import annotations

from collections.abc import Sequence


def fisher(completed: int, runs: int, other_completed: int, other_runs: int) -> float:
    """Return the two-sided p-value of Fisher's exact test that two arms complete equally often.

    >>> round(fisher(10, 10, 6, 10), 4)
    0.0867
    """
    from scipy.stats import fisher_exact  # which takes .6 s to import

    table = [[completed, runs - completed], [other_completed, other_runs - other_completed]]
    return float(fisher_exact(table).pvalue)


def wins(ours: Sequence[float | None], others: Sequence[float | None], higher_is_better: bool) -> tuple[int, int, int]:
    """Count the pairs that an arm wins, loses and ties. A run that failed loses to one that completed.

    Dropping failed runs instead calls an arm that fails in 40% of its runs better in 87% of studies.

    Args:
        ours: Values of the arm, None where the run failed.
        others: Values of the other arm, in the same order.
        higher_is_better: Direction of the values.

    >>> wins([1.0, None, 3.0], [0.5, 2.0, None], True)
    (2, 1, 0)
    """
    won = lost = tied = 0
    for mine, other in zip(ours, others, strict=True):
        if mine == other:
            tied += 1
        elif other is None or (mine is not None and (mine > other) == higher_is_better):
            won += 1
        else:
            lost += 1
    return won, lost, tied
