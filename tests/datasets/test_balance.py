"""Tests of the rule by which classes are imbalanced."""

from __future__ import annotations

import numpy as np
import pytest

from harness.datasets.balance import imbalanced, sure_ratio


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([50, 50], False),
        ([212, 357], False),  # breast cancer: 63% benign
        ([59, 71, 48], False),  # wine
        ([700, 300], True),
        ([140, 60], True),
        ([14, 6], False),  # so few samples may be uneven by chance
        ([100] * 9 + [10], True),
        ([900, 100], True),
        ([30], False),
        ([1, 1], False),
    ],
)
def test_rule_on_counts(counts: list[int], expected: bool) -> None:
    assert imbalanced(counts) is expected


@pytest.mark.parametrize(("n", "classes"), [(20, 2), (200, 2), (100, 10), (2000, 10), (2000, 100)])
def test_equal_classes_are_rarely_called_imbalanced_by_chance(n: int, classes: int) -> None:
    draws = np.random.default_rng(0).multinomial(n, np.full(classes, 1 / classes), size=500)
    assert np.mean([imbalanced(counts.tolist()) for counts in draws]) <= 0.02


def test_ratio_is_below_that_of_the_counts_and_approaches_it() -> None:
    ratios = [sure_ratio([4 * m, m]) for m in (5, 50, 500, 5_000_000)]
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(4, rel=5e-3)
    assert max(ratios) < 4
