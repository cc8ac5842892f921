"""Tests of comparisons of arms whose runs fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.stats.completion import fisher, wins

properties = settings(max_examples=50, deadline=None, derandomize=True)
outcome = st.none() | st.sampled_from([0.0, 0.5, 1.0])
pairs = st.lists(st.tuples(outcome, outcome), max_size=20)
arm = st.integers(1, 30).flatmap(lambda runs: st.tuples(st.integers(0, runs), st.just(runs)))


@properties
@given(arm, arm)
def test_fisher_agrees_with_scipy(ours: tuple[int, int], others: tuple[int, int]) -> None:
    p = fisher(*ours, *others)
    np.testing.assert_allclose(fisher(*others, *ours), p, rtol=1e-9, atol=1e-15)
    completed, drawn = ours[0] + others[0], ours[1]
    table = stats.hypergeom(ours[1] + others[1], completed, drawn)
    chances = table.pmf(np.arange(drawn + 1))
    reference = chances[chances <= table.pmf(ours[0]) * (1 + 1e-7)].sum()  # no table is likelier than ours
    np.testing.assert_allclose(p, min(1, reference), rtol=1e-7, atol=1e-12)


def test_lady_tasting_tea() -> None:
    """Fisher, The Design of Experiments, 1935: three of four cups found, one-sided p = 17/70; this one is two-sided."""
    np.testing.assert_allclose(fisher(3, 4, 1, 4), 34 / 70, rtol=1e-9, atol=1e-12)


@properties
@given(pairs, st.booleans())
def test_wins_losses_and_ties_are_all_pairs(couples: list[tuple[float | None, float | None]], higher: bool) -> None:
    ours, others = [x for x, _ in couples], [y for _, y in couples]
    won, lost, tied = wins(ours, others, higher)
    assert won + lost + tied == len(couples)
    assert wins(others, ours, higher) == (lost, won, tied)


@properties
@given(pairs)
def test_direction_does_not_matter_to_failures(couples: list[tuple[float | None, float | None]]) -> None:
    failed = [(x, y) for x, y in couples if None in (x, y)]
    ours, others = [x for x, _ in failed], [y for _, y in failed]
    expected = (
        sum(x is not None for x, y in failed if y is None),
        sum(y is not None for x, y in failed if x is None),
        sum(x is y for x, y in failed),
    )
    assert wins(ours, others, True) == wins(ours, others, False) == expected


@pytest.mark.parametrize(("higher", "expected"), [(True, (1, 0, 0)), (False, (0, 1, 0))])
def test_better_value_wins(higher: bool, expected: tuple[int, int, int]) -> None:
    assert wins([2.0], [1.0], higher) == expected


def test_unequal_numbers_of_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        wins([1.0, 2.0], [1.0], True)
