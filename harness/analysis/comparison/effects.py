"""Effects of several factors, of numeric settings, and of arms over data sets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.analysis.comparison.levels import level_text
from harness.analysis.comparison.looks import Question
from harness.analysis.comparison.model import Aggregate, Effect, Metric, Sensitivity, Table
from harness.analysis.comparison.outcomes import shown_value
from harness.analysis.stats import aggregate
from harness.analysis.stats.effects import interaction, main_effect
from harness.analysis.stats.mean_ranks import critical_difference
from harness.analysis.stats.mean_ranks import ranks as rank_arms
from harness.analysis.stats.multiple import holm
from harness.analysis.stats.paired import ALPHA, MIN_PAIRS, Estimate, estimate
from harness.registry.kinds import KINDS

MAX_CONTRASTS = 200  # of one interaction
MIN_RANKED = 5  # data sets for a critical difference of mean ranks
RESAMPLES = 2_000
THRESHOLDS = 60  # of a performance profile


def effects(
    tables: Sequence[Table],
    factors: Mapping[str, Sequence[Any]],
    metric: Metric,
    question: Callable[[Table, Sequence[str]], Question],
    planned: int | None,
) -> list[Effect]:
    """Return the interactions of each two factors, and the main effects of those without a settled interaction.

    The first level of a factor is the one that others are compared with. Holm's procedure covers the contrasts of the
    same factors on one data set, at the error rate that the look spends.

    Args:
        tables: The comparison on each data set.
        factors: The factors that make the arms, with their levels.
        metric: The metric.
        question: Returns the looks at the effects of some factors on a data set.
        planned: Number of units planned, or None for the default.
    """
    names = sorted(name for name, levels in factors.items() if len(levels) > 1)  # however they were typed
    if len(names) < 2:
        return []
    found = []
    for table in tables:
        cells, units, levels = _cells(table, factors, names, metric)
        if len(cells) < MIN_PAIRS:
            continue
        outcomes = {unit: repr(row.ravel().tolist()) for unit, row in zip(units, cells, strict=True)}
        decider = _Decider(table, metric, outcomes, question, planned)
        settled: set[str] = set()
        for a, b in itertools.combinations(range(len(names)), 2):
            steps = itertools.product(range(1, len(levels[a])), range(1, len(levels[b])))
            contrasts: dict[tuple[str, ...], Callable[..., Estimate]] = {
                (levels[a][i], levels[a][0], levels[b][k], levels[b][0]): partial(
                    interaction, cells, (a, b), (i, 0, k, 0)
                )
                for i, k in steps
            }
            if len(contrasts) > MAX_CONTRASTS:
                continue
            rows = decider.decide((names[a], names[b]), contrasts)
            found += rows
            if any(row.verdict == "settled" for row in rows):
                settled |= {names[a], names[b]}
        for a, name in enumerate(names):
            if name not in settled:
                mains: dict[tuple[str, ...], Callable[..., Estimate]] = {
                    (levels[a][i], levels[a][0]): partial(main_effect, cells, a, (i, 0))
                    for i in range(1, len(levels[a]))
                }
                found += decider.decide((name,), mains)
    return found


@dataclass
class _Decider:
    table: Table
    metric: Metric
    outcomes: Mapping[str, str]
    question: Callable[[Table, Sequence[str]], Question]
    planned: int | None

    def decide(
        self, factors: tuple[str, ...], contrasts: Mapping[tuple[str, ...], Callable[..., Estimate]]
    ) -> list[Effect]:
        """Decide the contrasts of the same factors, which are functions of the coverage."""
        at95 = {levels: contrast() for levels, contrast in contrasts.items()}
        question = self.question(self.table, factors)
        pairs = {levels: ("|".join(levels), "") for levels in contrasts}
        question.recall(dict.fromkeys(pairs.values(), self.outcomes))
        question.plan(self.table.units, self.planned)
        looks = {levels: question.look(pairs[levels], c.n) for levels, c in at95.items()}
        rejected, divisor = holm([c.p for c in at95.values()], [look.level for look in looks.values()])
        rows = []
        for i, (levels, contrast) in enumerate(contrasts.items()):
            alpha = (looks[levels].level or ALPHA) / int(divisor[i])
            c = contrast(coverage=1 - alpha)
            settled = bool(rejected[i]) or question.settled(pairs[levels]) is not None
            if rejected[i]:
                question.keep(pairs[levels], winner="settled")
            middle, low, high = (shown_value(x, self.metric) for x in (c.mean, c.low, c.high))
            word: Literal["settled", "not settled"] = "settled" if settled else "not settled"
            rows.append(Effect(str(self.table.data), factors, levels, c.n, middle, low, high, c.p, word))
        return rows


def _cells(
    table: Table, factors: Mapping[str, Sequence[Any]], names: Sequence[str], metric: Metric
) -> tuple[NDArray[np.float64], list[str], list[list[str]]]:
    """Return the scores `[units, levels, ...]` of the units that have every arm, the units, and texts of the levels."""
    levels = [[repr(level) for level in factors[name]] for name in names]
    at = {tuple(levels[i].index(repr(arm.levels.get(n))) for i, n in enumerate(names)): arm for arm in table.arms}
    shape = [len(level) for level in levels]
    units = list(dict.fromkeys(unit for arm in table.arms for unit in arm.values))
    scores = np.full((len(units), *shape), np.nan)
    for place, arm in at.items():
        for row, unit in enumerate(units):
            if unit in arm.values:
                scores[(row, *place)] = np.log(arm.values[unit]) if metric.scale == "ratio" else arm.values[unit]
    whole = ~np.isnan(scores).reshape(len(units), -1).any(1) if units else np.zeros(0, bool)
    kept = [unit for unit, keep in zip(units, whole, strict=True) if keep]
    return scores[whole], kept, [[level_text(level) for level in factors[name]] for name in names]


def sensitivity(tables: Sequence[Table], factors: Mapping[str, Sequence[Any]], metric: Metric) -> list[Sensitivity]:
    """Return the metric against each numeric setting, for the other levels together and each by itself."""
    found = []
    for key, levels in factors.items():
        values = [x for x in levels if isinstance(x, int | float) and not isinstance(x, bool)]
        if key in KINDS or len(values) < 2:
            continue
        for table in tables:
            groups: dict[str, dict[float, list[float]]] = {}
            for arm in table.arms:
                x = arm.levels.get(key)
                if isinstance(x, int | float) and not isinstance(x, bool) and arm.values:
                    other = ",".join(level_text(level) for name, level in arm.levels.items() if name != key)
                    groups.setdefault(other, {}).setdefault(float(x), []).extend(arm.values.values())
            for other, at in groups.items():
                if len(at) > 1:
                    found.append(_sensitivity(key, str(table.data), other, at, metric))
    return found


def _sensitivity(key: str, data: str, arm: str, at: Mapping[float, Sequence[float]], metric: Metric) -> Sensitivity:
    values = sorted(at)
    rows = []
    for value in values:
        x = np.log(at[value]) if metric.scale == "ratio" else np.asarray(at[value])
        e = estimate(x) if len(x) >= MIN_PAIRS else None
        mean = float(np.mean(x))
        ends = (mean, mean) if e is None else (e.low, e.high)
        rows.append([shown_value(y, metric) for y in (mean, *ends)])
    means, lows, highs = (list(column) for column in zip(*rows, strict=True))
    return Sensitivity(key, data, arm, values, means, lows, highs)


def aggregates(tables: Sequence[Table], metric: Metric) -> tuple[list[Aggregate], float | None, list[str]]:
    """Return each arm over data sets, each with weight 1, the critical difference of mean ranks, and notes.

    Only arms that completed at least two units on every data set are taken.
    """
    if len(tables) < 2:
        return [], None, []
    common = [
        arm.name
        for arm in tables[0].arms
        if all(any(a.name == arm.name and len(a.values) > 1 for a in table.arms) for table in tables)
    ]
    if len(common) < 2:
        return [], None, []
    scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in common}
    means = np.empty((len(tables), len(common)))
    notes: list[str] = []
    for row, table in enumerate(tables):
        arms = {arm.name: arm for arm in table.arms}
        raw = [np.array(list(arms[name].values.values())) for name in common]
        if metric.scale == "ratio":
            raw = [np.log(x) for x in raw]
        means[row] = [x.mean() for x in raw]
        zero = None if table.chance is None or metric.scale == "ratio" else table.chance.value
        try:
            normal = aggregate.normalise(raw, chance=zero, higher_is_better=metric.higher_is_better)
        except ValueError:
            why = "no arm differs" if zero is None else "no arm is better than a constant prediction"
            notes.append(f"{table.data} is left out of the normalised scores: {why}")
            continue
        for name, x in zip(common, normal, strict=True):
            scores[name].append(x)
    ranks = rank_arms(means, higher_is_better=metric.higher_is_better).mean(0)
    if len(scores[common[0]]) < 2:
        return [], None, notes
    ends = np.concatenate([x for runs in scores.values() for x in runs])
    thresholds = np.linspace(min(0.0, float(ends.min())), max(1.0, float(ends.max())), THRESHOLDS)
    found = []
    for name, rank in zip(common, ranks, strict=True):
        mine = scores[name]
        low, high = aggregate.interquartile_mean_interval(mine, seed=0, resamples=RESAMPLES)
        profile = zip(thresholds.tolist(), aggregate.performance_profile(mine, thresholds).tolist(), strict=True)
        improvement = {o: aggregate.probability_of_improvement(mine, scores[o]) for o in common if o != name}
        middle = aggregate.interquartile_mean(mine)
        found.append(Aggregate(name, middle, low, high, float(rank), list(profile), improvement))
    ranked = sorted(found, key=lambda a: a.rank)
    critical = critical_difference(len(common), len(tables)) if len(tables) >= MIN_RANKED else None
    return ranked, critical, notes
