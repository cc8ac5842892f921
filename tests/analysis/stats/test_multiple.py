"""Tests of Holm's procedure and of groups of arms, against statsmodels and networkx."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.analysis.stats.multiple import groups, holm
from harness.analysis.stats.paired import estimate

properties = settings(max_examples=50, deadline=None, derandomize=True)
probabilities = st.lists(st.floats(0, 1) | st.floats(0, 0.05), min_size=1, max_size=12)
rates = st.sampled_from([0.0, 0.004, 0.0204, 0.05])


@settings(properties, max_examples=15)  # statsmodels collects garbage, which takes .2 s
@given(probabilities, st.sampled_from([0.05, 0.2]))
def test_holm_agrees_with_statsmodels(p: list[float], alpha: float) -> None:
    rejected, _ = holm(p, alpha)
    adjusted = multipletests(p, alpha, "holm")[1]
    clear = np.abs(adjusted - alpha) > 1e-12
    np.testing.assert_array_equal(rejected[clear], (adjusted <= alpha)[clear])


def test_published_examples() -> None:
    """The four hypotheses of Wikipedia's article, and the fifteen of Benjamini and Hochberg, JRSS B 57, 1995.

    Of the fifteen, Bonferroni's and Hochberg's procedures reject the same three, hence also Holm's.
    """
    assert holm([0.01, 0.04, 0.03, 0.005])[0].tolist() == [True, False, False, True]
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528]
    rejected, divisor = holm([*p, 0.759, 1.0])
    assert rejected.tolist() == [True] * 3 + [False] * 12
    assert divisor.tolist() == [15, 14, 13] + [12] * 12


@properties
@given(st.data(), probabilities)
def test_holm_with_unequal_rates_agrees_with_its_definition(data: st.DataObject, p: list[float]) -> None:
    level = data.draw(st.lists(rates, min_size=len(p), max_size=len(p)))
    family = len(p) + data.draw(st.integers(0, 3))
    expected = np.zeros(len(p), bool)
    open_ = set(range(len(p)))
    while open_:
        best = min(open_, key=lambda i: p[i] / level[i] if level[i] else np.inf)
        if not level[best] or p[best] / level[best] * (family - expected.sum()) > 1:
            break
        expected[best] = True
        open_.remove(best)
    np.testing.assert_array_equal(holm(p, level, family)[0], expected)


@properties
@given(st.data(), probabilities)
def test_divided_rate_decides_alone(data: st.DataObject, p: list[float]) -> None:
    level = np.array(data.draw(st.lists(rates, min_size=len(p), max_size=len(p))))
    rejected, divisor = holm(p, level)
    assert ((divisor >= 1) & (divisor <= len(p))).all()
    clear = np.abs(np.array(p) * divisor - level) > 1e-12
    np.testing.assert_array_equal(rejected[clear], (np.array(p) * divisor < level)[clear])


@properties
@given(st.integers(1, 6), st.integers(3, 8), st.integers(0, 10_000))
def test_interval_excludes_zero_exactly_if_rejected(arms: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.standard_normal((arms, n)) + rng.uniform(-3, 3, (arms, 1))
    rejected, divisor = holm([estimate(x).p for x in d])
    found = [estimate(x, 0.05 / k) for x, k in zip(d, divisor, strict=True)]
    np.testing.assert_array_equal([e.low > 0 or e.high < 0 for e in found], rejected)


@properties
@given(probabilities, st.permutations(range(12)))
def test_order_of_hypotheses_does_not_matter(p: list[float], order: list[int]) -> None:
    order = [i for i in order if i < len(p)]
    np.testing.assert_array_equal(holm([p[i] for i in order])[0], holm(p)[0][order])


@properties
@given(probabilities, st.integers(0, 11), st.floats(0, 1))
def test_smaller_p_value_rejects_no_less(p: list[float], index: int, factor: float) -> None:
    smaller = list(p)
    smaller[index % len(p)] *= factor
    assert (holm(smaller)[0] >= holm(p)[0]).all()


def test_empty_family_rejects_nothing() -> None:
    rejected, divisor = holm([])
    assert rejected.size == divisor.size == 0


def test_single_hypothesis_keeps_its_rate() -> None:
    assert [x.tolist() for x in holm([0.05])] == [[True], [1]]
    assert [x.tolist() for x in holm([0.0], 0.0)] == [[False], [1]]


@pytest.mark.parametrize("p", [[0.1, 1.1], [-0.1], [float("nan")]])
def test_impossible_p_values_are_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p)


@properties
@given(st.integers(0, 7), st.data())
def test_groups_are_the_cliques_of_unsettled_pairs(size: int, data: st.DataObject) -> None:
    arms = [f"arm{i}" for i in range(size)]
    pairs = list(itertools.combinations(arms, 2))
    settled = {frozenset(pair) for pair in pairs if data.draw(st.booleans())}
    graph = networkx.Graph([pair for pair in pairs if frozenset(pair) not in settled])
    graph.add_nodes_from(arms)
    found = groups(arms, settled)
    assert sorted(found) == sorted(sorted(clique) for clique in networkx.find_cliques(graph))
    assert found == sorted(found)  # the group of the best arm is first
    assert all(arm in {name for group in found for name in group} for arm in arms)


def test_groups_keep_the_order_of_the_arms() -> None:
    assert groups(["z", "m", "a"], set()) == [["z", "m", "a"]]
    assert groups(["z", "m", "a"], {frozenset("za")}) == [["z", "m"], ["m", "a"]]
