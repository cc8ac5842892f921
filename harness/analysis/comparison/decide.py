"""Decide which differences between the arms of one data set are settled."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.comparison.looks import Pair, PairLook, Question, pair_key
from harness.analysis.comparison.model import Difference, Metric, Verdict
from harness.analysis.comparison.outcomes import shown_value
from harness.analysis.comparison.pairing import Pairs
from harness.analysis.stats.looks import spend
from harness.analysis.stats.multiple import holm
from harness.analysis.stats.paired import (
    ALPHA,
    MIN_PAIRS,
    Estimate,
    equivalence,
    estimate,
    floor,
    sign_test,
    units_needed,
)

ALL_PAIRS = 60  # arms; of more, only pairs with the best are tested, at the level of all pairs


@dataclass(frozen=True)
class Rules:
    """How differences are decided.

    Attributes:
        metric: The metric.
        margin: Largest difference that counts as equal, on the scale of the comparison, or None.
        planned: Planned number of units, or None for the default.
        ids: The ID of each arm, which looks are kept by: it does not depend on the order in which factors were typed.
        resolution: Step of the values, 1/n for shares of n samples.
        least: Smallest number of pairs that can be decided.
        estimate: Estimates a mean difference: (differences, error rate, resolution) to an estimate.
    """

    metric: Metric
    margin: float | None
    planned: int | None
    ids: Mapping[str, str]
    resolution: float = 0.0
    least: int = MIN_PAIRS
    estimate: Callable[[NDArray[np.float64], float, float], Estimate] = estimate

    def pair(self, arm: str, against: str) -> Pair:
        """Return the key of two arms in the looks."""
        return pair_key(self.ids[arm], self.ids[against])


@dataclass
class _Tested:
    arm: str
    against: str
    pairs: Pairs
    look: PairLook
    p: float
    p_equal: float


def family(arms: Sequence[str], baseline: str | None) -> tuple[list[tuple[str, str]], int]:
    """Return the pairs of arms to test, and the number of comparisons that Holm's correction covers.

    Without a baseline that was named in advance, the arm that the others are shown against is the one that happened
    to be best. Comparing it with the k - 1 others alone calls one of six equal arms different in .09 of studies; all
    pairs keep .05.

    Args:
        arms: Names of the arms, the best first.
        baseline: The arm that was named, or None.

    >>> family(["a", "b", "c"], "b")
    ([('a', 'b'), ('c', 'b')], 2)
    >>> family(["a", "b", "c"], None)
    ([('b', 'a'), ('c', 'a'), ('c', 'b')], 3)
    """
    if baseline is not None:
        return [(arm, baseline) for arm in arms if arm != baseline], len(arms) - 1
    size = math.comb(len(arms), 2)
    if len(arms) > ALL_PAIRS:
        return [(arm, arms[0]) for arm in arms[1:]], size
    return [(b, a) for a, b in itertools.combinations(arms, 2)], size


def decide(
    paired: Mapping[tuple[str, str], Pairs],
    size: int,
    question: Question,
    rules: Rules,
    clock: int | None = None,
    plan: int | None = None,
) -> list[Difference]:
    """Decide a family of comparisons.

    Args:
        paired: The pairs of arms.
        size: Number of comparisons that Holm's correction covers.
        question: The looks at this family so far; new looks are added.
        rules: How to decide.
        clock: Number of units that the looks count, if it is not the number of pairs.
        plan: Number of units to plan at the first look, if it is not the default.
    """
    if not paired:
        return []
    tested = []
    question.recall({rules.pair(*pair): pairs.outcomes for pair, pairs in paired.items()})
    if question.planned is None:
        question.planned = plan
    question.plan(max(p.n for p in paired.values()), rules.planned)
    for (arm, against), pairs in paired.items():
        look = question.look(rules.pair(arm, against), pairs.n if clock is None else clock)
        tested.append(_Tested(arm, against, pairs, look, *_p_values(pairs, rules)))
    levels = np.array([t.look.level for t in tested])
    rejected, divisor = holm([t.p for t in tested], levels, size)
    equal, _ = holm([t.p_equal for t in tested], levels, size)
    return [
        _difference(t, bool(rejected[i]), int(divisor[i]), bool(equal[i]), question, rules)
        for i, t in enumerate(tested)
    ]


def _p_values(pairs: Pairs, rules: Rules) -> tuple[float, float]:
    if pairs.n < rules.least:
        return 1.0, 1.0
    if pairs.failed:
        return sign_test(pairs.won, pairs.lost), 1.0
    e = rules.estimate(pairs.array(), ALPHA, rules.resolution)
    return e.p, 1.0 if rules.margin is None else equivalence(e, rules.margin)


def _difference(t: _Tested, rejected: bool, divisor: int, equal: bool, question: Question, rules: Rules) -> Difference:
    pair, pairs, metric = rules.pair(t.arm, t.against), t.pairs, rules.metric
    estimated: Estimate | None = None
    last = next((look.level for look in reversed(question.looks[pair]) if look.level), 0.0)
    alpha = (t.look.level or last) / divisor
    if len(pairs.d) >= 2 and alpha > 0:
        estimated = rules.estimate(pairs.array(), alpha, rules.resolution)
    verdict, settled_at = _verdict(t, rejected, equal, question, rules)

    def level(n: int) -> float:
        """Return the level of a study that is looked at once, with n units."""
        assert question.planned is not None
        return spend(n, 0, max(question.planned, n)) / divisor

    needed = None
    plain = rules.estimate is estimate  # the error of a mean over new data does not go to 0 with the number of splits
    if plain and rules.margin and estimated is not None and not pairs.failed and verdict == "not settled":
        needed = units_needed(estimated.sd, rules.margin, level)
    shown = None if estimated is None or len(pairs.d) < rules.least else estimated
    return Difference(
        t.arm,
        t.against,
        len(pairs.d),
        None if estimated is None else shown_value(estimated.mean, metric),
        None if shown is None else shown_value(shown.low, metric),
        None if shown is None else shown_value(shown.high, metric),
        None if estimated is None else estimated.sd,
        t.p if pairs.n >= rules.least else None,
        t.look.level,
        None if shown is None else 1 - alpha,
        (pairs.won + pairs.tied / 2) / pairs.n if pairs.n else None,
        verdict,
        settled_at,
        "sign" if pairs.failed else "t",
        None if shown is None or pairs.failed else shown_value(floor(shown, alpha), metric),
        needed,
        {unit: shown_value(x, metric) for unit, x in pairs.d.items()},
    )


def _verdict(t: _Tested, rejected: bool, equal: bool, question: Question, rules: Rules) -> tuple[Verdict, int | None]:
    """Return the verdict and the number of pairs that settled it. A verdict that was settled stays settled."""
    pair = rules.pair(t.arm, t.against)
    if (earlier := question.settled(pair)) is not None:
        return "better" if earlier.winner == rules.ids[t.arm] else "worse", earlier.n
    if t.pairs.n < rules.least:
        return "too few", None
    if rejected:
        better = t.pairs.won > t.pairs.lost
        if not t.pairs.failed:
            better = (float(t.pairs.array().mean()) > 0) == rules.metric.higher_is_better
        question.keep(pair, winner=rules.ids[t.arm if better else t.against])
        return "better" if better else "worse", t.look.n
    if rules.margin is None:
        return "not settled", None
    if (earlier := question.equal(pair, rules.margin)) is not None:
        return "equal", earlier.n
    if equal:
        question.keep(pair, margin=rules.margin)
        return "equal", t.look.n
    return "not settled", None
