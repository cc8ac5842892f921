"""Pair the runs of two arms by unit."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.analysis.comparison.levels import Run
from harness.analysis.comparison.model import Metric
from harness.analysis.comparison.outcomes import FAILED, is_measured, outcome
from harness.analysis.stats.completion import wins
from harness.analysis.stats.mean_ranks import ranks
from harness.system.errors import shown

MIN_SPLITS = 5  # of splits crossed with seeds; fewer are averaged over, and the scope is "on these splits"

Place = tuple[str, Hashable]  # the unit, and the levels that are averaged over


@dataclass(frozen=True)
class Units:
    """How runs of one data set are paired.

    Attributes:
        keys: Keys of seeds whose values name a unit.
        noun: What a unit is: "seed" or "split".
        scope: What a verdict is about.
    """

    keys: Sequence[str]
    noun: str
    scope: str

    def label(self, seeds: Mapping[str, object]) -> str:
        """Return the name of a run's unit: "3", or "0,3" for a seed 0 on a split 3."""
        return ",".join(dict.fromkeys(shown(seeds[key]) for key in self.keys)) if self.keys else "one"


def units_of(runs: Sequence[Run], varied: Sequence[str]) -> Units:
    """Return how the runs of one data set are paired.

    Seeds crossed with splits are averaged within each split, since runs that share a split are no independent
    evidence on new ones; with fewer than five splits they are averaged over the splits instead.
    """
    keys = [key for key in varied if len({repr(run.seeds[key]) for run in runs}) > 1]
    draws = [key for key in keys if key != "seed"]  # keys that change the samples
    if not draws:
        return Units(keys, "seed", "on this split")
    if len(keys) == 1:
        return Units(keys, "split", "over splits of this data set")
    together = len({repr([run.seeds[key] for key in keys]) for run in runs})
    splits = len({repr([run.seeds[key] for key in draws]) for run in runs})
    if splits == together:
        return Units(keys, "seed", "over splits of this data set")
    if splits >= MIN_SPLITS:
        return Units(draws, "split", "over splits of this data set")
    return Units([key for key in keys if key == "seed"], "seed", f"on these {splits} splits")


@dataclass
class Outcomes:
    """The outcomes of one arm on one data set: a number on the scale of the comparison, or None for a failed run."""

    runs: int = 0
    completed: int = 0
    at: dict[Place, float | None] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True if a run failed."""
        return None in self.at.values()

    def means(self) -> dict[str, float]:
        """Return the mean of each unit in which every run completed, by its label."""
        of: dict[str, list[float | None]] = {}
        for (unit, _), x in self.at.items():
            of.setdefault(unit, []).append(x)
        return {unit: _mean([x for x in values if x is not None]) for unit, values in of.items() if None not in values}


def outcomes(runs: Sequence[Run], units: Units, metric: Metric) -> dict[str, Outcomes]:
    """Return the outcomes of each arm.

    Runs that are interrupted or still running, and completed ones without the metric, are counted and left out. A
    completed run whose metric is not finite has lost, as a failed one: it never reached the target, for example.
    """
    arms: dict[str, Outcomes] = {}
    sums: dict[tuple[str, Place], list[float | None]] = {}
    for run in runs:
        arm = arms.setdefault(run.arm, Outcomes())
        arm.runs += 1
        completed = run.record.status == "completed"
        arm.completed += completed
        if run.record.status in FAILED or (completed and is_measured(run.record, metric.name)):
            sums.setdefault((run.arm, (units.label(run.seeds), run.rest)), []).append(outcome(run.record, metric))
    for (name, place), values in sums.items():  # several runs at a place: other seeds that are averaged over
        finite = [x for x in values if x is not None]
        arms[name].at[place] = _mean(finite) if len(finite) == len(values) else None
    return arms


def mean_ranks(arms: Mapping[str, Outcomes], higher_is_better: bool) -> dict[str, float]:
    """Return the mean rank of each arm over the places that all arms have; 1 is best, and a failed run is last."""
    places = set.intersection(*(set(arm.at) for arm in arms.values()))
    finite = [x for arm in arms.values() for x in arm.at.values() if x is not None] or [0.0]
    worst = min(finite) - 1 if higher_is_better else max(finite) + 1
    rows = [[worst if (x := arm.at[place]) is None else x for arm in arms.values()] for place in places]
    if not rows:
        return dict.fromkeys(arms, 0.0)
    means = ranks(rows, higher_is_better=higher_is_better).mean(0)
    return dict(zip(arms, map(float, means), strict=True))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)  # 50 times as fast as numpy's for a few values


@dataclass(frozen=True)
class Pairs:
    """Two arms paired by unit.

    Attributes:
        d: Difference of each unit in which both completed, by its label.
        won: Units that the arm won.
        lost: Units that it lost, also by failing.
        tied: Units that are ties.
        failed: True if a run of a pair failed.
        outcomes: The paired outcomes as text, by place; equal whichever arm is named first.
    """

    d: Mapping[str, float]
    won: int
    lost: int
    tied: int
    failed: bool
    outcomes: Mapping[str, str]

    @property
    def n(self) -> int:
        """Number of paired units, with those in which a run failed."""
        return self.won + self.lost + self.tied

    def array(self) -> NDArray[np.float64]:
        """Return the differences `[n]`."""
        return np.fromiter(self.d.values(), np.float64, len(self.d))


def pair(arm: Outcomes, against: Outcomes, higher_is_better: bool) -> Pairs:
    """Pair two arms at the places that both have, and average the differences within each unit."""
    of: dict[str, list[tuple[float | None, float | None]]] = {}
    found: dict[str, str] = {}
    for place, x in arm.at.items():
        if place in against.at:
            y = against.at[place]
            of.setdefault(place[0], []).append((x, y))
            found[f"{place[0]} {place[1]}"] = " ".join(sorted((repr(x), repr(y))))
    d: dict[str, float] = {}
    won = lost = tied = 0
    for unit, couples in of.items():
        whole = [(x, y) for x, y in couples if x is not None and y is not None]
        if len(whole) == len(couples):
            d[unit] = _mean([x - y for x, y in whole])
            better = (d[unit] > 0) - (d[unit] < 0) if higher_is_better else (d[unit] < 0) - (d[unit] > 0)
        else:
            w, lo, _ = wins([x for x, _ in couples], [y for _, y in couples], higher_is_better)
            better = (w > lo) - (w < lo)
        won, lost, tied = won + (better > 0), lost + (better < 0), tied + (better == 0)
    return Pairs(d, won, lost, tied, len(d) < len(of), found)
