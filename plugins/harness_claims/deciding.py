"""Decide a claim from the measurements of its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

import harness
from harness_claims.claim import Claim, Region

ALPHA = 0.05  # error rate of one claim, divided by its conditions
LEAST = 3  # seeds of a mean
LEAST_RANKED = 6  # of ranks: with fewer no p-value is below .05 / 2
MOST_SEEDS = 10_000  # that are said to be needed

Outcome = Literal["holds", "fails", "not settled"]
Cell = tuple[str, str, int]  # (condition, side, place of the level)
Values = Mapping[Cell, Sequence[float | None]]  # one measurement for each seed


@dataclass(frozen=True)
class Decided:
    """The outcome of one condition.

    Attributes:
        condition: Its name.
        expect: What was expected.
        outcome: "holds", "fails" or "not settled".
        effects: The effect of each seed; None where a measurement is missing.
        estimate: The mean of the effects, the median for ranks, or the share of the seeds with an effect in the region.
        low: Lower end of its interval.
        high: Upper end.
        needed: Seeds needed to settle it, or None.
        missing: Seeds without an effect.
    """

    condition: str
    expect: str
    outcome: Outcome
    effects: tuple[float | None, ...]
    estimate: float | None
    low: float | None
    high: float | None
    needed: int | None = None
    missing: int = 0


def decide(claim: Claim, values: Values) -> list[Decided]:
    """Return the outcome of each condition that was measured."""
    names = dict.fromkeys(condition for condition, _, _ in values)
    of_condition = {name: {key[1:]: row for key, row in values.items() if key[0] == name} for name in names}
    return decide_effects(claim, {name: seed_effects(claim, cells) for name, cells in of_condition.items()})


def decide_effects(claim: Claim, effects_of: Mapping[str, Sequence[float | None]]) -> list[Decided]:
    """Return the outcome of each condition from the effect of each seed.

    The error rate of .05 is divided among the conditions, so that a claim of which none is true is called so, or the
    opposite, in at most 5% of repetitions.
    """
    alpha = ALPHA / len(effects_of)
    expected = {condition.name: condition.expect for condition in claim.conditions}
    decided = []
    for name, effects in effects_of.items():
        outcome, estimate, low, high, needed = _settle([e for e in effects if e is not None], claim, alpha)
        missing = sum(effect is None for effect in effects)
        if missing:  # which seeds are missing is no accident
            outcome, needed = "not settled", None
        decided.append(Decided(name, expected[name], outcome, tuple(effects), estimate, low, high, needed, missing))
    return decided


def verdict(decided: Sequence[Decided]) -> str:
    """Return the verdict on a claim from the outcomes of its conditions."""
    outcomes = {one.outcome for one in decided}
    if {"holds", "fails"} <= outcomes:
        return "conditional"
    if "not settled" in outcomes:
        return "not settled"
    return "supported" if outcomes == {"holds"} else "refuted"


def seed_effects(claim: Claim, values: Mapping[tuple[str, int], Sequence[float | None]]) -> list[float | None]:
    """Return the effect of each seed in one condition."""
    seeds = max(len(row) for row in values.values())
    effects = [_effect(claim, {cell: row[seed] for cell, row in values.items()}) for seed in range(seeds)]
    return [None if effect is None or math.isnan(effect) else effect for effect in effects]


def _effect(claim: Claim, of_seed: Mapping[tuple[str, int], float | None]) -> float | None:
    levels = range(len(claim.factor[1])) if claim.factor is not None else range(1)
    if claim.effect == "pick":  # a side whose run did not complete is not the best one
        best, *rest = (of_seed[side, 0] for side in claim.sides)
        if best is None and all(other is None for other in rest):
            return None
        return float(best is not None and all(other is None or best > other for other in rest))
    rows: list[list[float]] = []
    for side in claim.sides:
        row = [of_seed[side, place] for place in levels]
        known = [value for value in row if value is not None]
        if len(known) < len(row):
            return None
        rows.append(known)
    first, others = rows[0], rows[1:]
    if claim.effect == "level":
        return first[0]
    if claim.effect == "difference":
        return _difference(first[0], others[0][0])
    if claim.effect == "ratio":
        if math.isinf(first[0]) or math.isinf(others[0][0]):
            return math.exp(_difference(first[0], others[0][0]))
        return first[0] / others[0][0] if others[0][0] else None
    if claim.effect in ("spread", "slope", "interaction") and any(math.isinf(value) for row in rows for value in row):
        return None
    if claim.effect == "spread":
        return max(first) - min(first)
    scale = _scale(claim.factor[1] if claim.factor else ())
    if claim.effect == "correlation":
        return float(stats.spearmanr(scale, first).statistic) if len(set(first)) > 1 else 0.0
    slope = float(stats.linregress(scale, first).slope)
    return slope if claim.effect == "slope" else slope - float(stats.linregress(scale, others[0]).slope)


def _difference(a: float, b: float) -> float:
    """Return a - b; 0 for two values that are both infinite, which are equally good or bad."""
    return 0.0 if a == b else a - b


def _scale(levels: Sequence[Any]) -> list[float]:
    """Return levels as numbers; their places where they are words."""
    if all(isinstance(level, (int, float)) for level in levels):
        return [float(level) for level in levels]
    return [float(place) for place in range(len(levels))]


def _settle(
    effects: Sequence[float], claim: Claim, alpha: float
) -> tuple[Outcome, float | None, float | None, float | None, int | None]:
    region = claim.region
    if not effects:
        return "not settled", None, None, None, None
    if claim.of == "every":
        inside = [effect in region for effect in effects]
        outcome: Outcome = "holds" if all(inside) else "fails"
        return outcome, float(np.mean(effects)), min(effects), max(effects), None
    if claim.of == "share":
        return _share(effects, region, alpha)
    if claim.of == "rank":
        return _rank(effects, region, alpha)
    mean = float(np.mean(effects))
    if len(effects) < LEAST:
        return "not settled", mean, None, None, LEAST
    estimated = harness.stats.estimate(effects, alpha)
    low, high = estimated.low, estimated.high
    if region.low < low and high < region.high:
        return "holds", mean, low, high, None
    if high <= region.low or low >= region.high:
        return "fails", mean, low, high, None
    return "not settled", mean, low, high, _needed(effects, region, alpha)


def _share(
    effects: Sequence[float], region: Region, alpha: float
) -> tuple[Outcome, float | None, float | None, float | None, int | None]:
    """Decide whether most seeds have an effect in the region, by the exact interval of a share."""
    inside = sum(effect in region for effect in effects)
    interval = stats.binomtest(inside, len(effects)).proportion_ci(1 - alpha, method="exact")
    low, high = float(interval.low), float(interval.high)
    share = inside / len(effects)
    if low > 0.5:
        return "holds", share, low, high, None
    return ("fails" if high < 0.5 else "not settled"), share, low, high, None


def _rank(
    effects: Sequence[float], region: Region, alpha: float
) -> tuple[Outcome, float | None, float | None, float | None, int | None]:
    """Decide where the median is by the ranks of the effects (Wilcoxon), of which some may be infinite.

    Effects on the border have no rank, so that the rest of them decides nothing against the median of all.
    """
    median = float(np.median(effects))
    if len(effects) < LEAST_RANKED:
        return "not settled", median, None, None, LEAST_RANKED
    above_low, _ = _one_sided(effects, region.low)
    _, below_high = _one_sided(effects, region.high)
    if max(above_low, below_high) < alpha / 2 and median in region:
        return "holds", median, None, None, None
    _, below_low = _one_sided(effects, region.low)
    above_high, _ = _one_sided(effects, region.high)
    fails = min(below_low, above_high) < alpha / 2 and median not in region
    return ("fails" if fails else "not settled"), median, None, None, None


def _one_sided(effects: Sequence[float], border: float) -> tuple[float, float]:
    """Return the p-values of a median above a border, and of one below it."""
    if math.isinf(border):
        return (0.0, 1.0) if border < 0 else (1.0, 0.0)
    distances = np.asarray(effects, float) - border
    finite = np.abs(distances[np.isfinite(distances)])
    largest = finite.max(initial=0.0) + 1.0  # an infinite effect ranks above all finite ones
    distances = np.clip(distances, -largest, largest)
    if not distances.any():
        return 1.0, 1.0
    above, below = (stats.wilcoxon(distances, alternative=side).pvalue for side in ("greater", "less"))
    return float(above), float(below)


def _needed(effects: Sequence[float], region: Region, alpha: float) -> int | None:
    """Return the seeds after which the interval would be on one side of the region's border, if the mean stays."""
    mean, sd = float(np.mean(effects)), float(np.std(effects, ddof=1))
    distance = min(abs(mean - end) for end in (region.low, region.high) if math.isfinite(end))
    n = len(effects) + 1
    while n <= MOST_SEEDS:
        if float(stats.t.ppf(1 - alpha / 2, n - 1)) * sd / math.sqrt(n) < distance:
            return n
        n = math.ceil(n * 1.1)
    return None
