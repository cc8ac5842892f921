"""Tests of error spending: no sequence of looks spends more than the error rate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.stats.looks import planned_units, spend

properties = settings(max_examples=50, deadline=None, derandomize=True)
sequences = st.lists(st.integers(1, 200), min_size=1, max_size=20, unique=True).map(sorted)


@properties
@given(sequences, st.integers(1, 100), st.sampled_from([0.05, 0.01]))
def test_all_looks_together_spend_at_most_alpha(looks: list[int], planned: int, alpha: float) -> None:
    spent = [spend(n, before, planned, alpha) for before, n in itertools.pairwise([0, *looks])]
    assert min(spent) >= 0
    assert sum(spent) <= alpha * (1 + 1e-12)
    if looks[-1] >= planned:
        np.testing.assert_allclose(sum(spent), alpha, rtol=1e-9, atol=1e-12)


@properties
@given(sequences, st.integers(1, 100))
def test_what_is_spent_depends_on_the_last_look_alone(looks: list[int], planned: int) -> None:
    spent = sum(spend(n, before, planned) for before, n in itertools.pairwise([0, *looks]))
    np.testing.assert_allclose(spent, spend(looks[-1], 0, planned), rtol=1e-9, atol=1e-15)


@properties
@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_no_new_data_spend_nothing(n: int, fewer: int, planned: int) -> None:
    assert spend(n, n, planned) == 0
    assert spend(min(n, fewer), n, planned) == 0


def test_spending_is_as_documented() -> None:
    np.testing.assert_allclose(spend(10, 0, 30), 0.05 * math.sqrt(1 / 3), rtol=1e-12, atol=1e-12)
    assert spend(30, 0, 30) == 0.05
    assert spend(40, 30, 30) == 0


@pytest.mark.parametrize(("first", "planned"), [(5, 30), (30, 30), (50, 50)])
def test_thirty_units_are_planned_or_those_of_the_first_look(first: int, planned: int) -> None:
    assert planned_units(first) == planned


@pytest.mark.parametrize("arguments", [(-1, 0, 30), (5, -1, 30), (5, 0, 0)])
def test_impossible_numbers_of_units_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        spend(*arguments)
