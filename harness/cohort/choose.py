"""The path and the workers of each group of a sweep: what the user said, or what a trial says is soonest done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.cohort.grouping import shape, unfusable
from harness.cohort.trial import Trial, parts_of, room, tried
from harness.kinds import AUTO, KINDS
from harness.prepare import Prepared
from harness.runner import How
from harness.schema import KEY

HERE = "in_process"
LOCAL = (HERE, KINDS["executor"].auto or HERE)  # between these a trial can choose
MOST = 256  # members of a stack, so that a killed worker loses no more
START_S = 6.0  # until a worker has imported what it needs

_trials: dict[tuple[str, bool], Trial] = {}  # of this process; a launch after the other asks the same


@dataclass(frozen=True)
class Share:
    """What a worker is handed at a time: members of one shape, and how they are trained."""

    members: tuple[Prepared, ...]
    how: How


@dataclass(frozen=True)
class Way:
    """One of the ways to train a group: its path, its executor and the seconds that it is thought to take."""

    path: str
    executor: str
    seconds: float

    def __str__(self) -> str:
        over = "in this process" if self.executor == HERE else f"over {self.executor} workers"
        return f"{self.path} {over} {self.seconds:.1f} s"


def ways(trial: Trial, epochs: int, count: int, workers: int, executors: Sequence[str], start_s: float) -> list[Way]:
    """Every way that there is, the soonest done first.

    >>> [str(w) for w in ways(Trial(0.02, 0.02, 0.002), 20, 64, 2, LOCAL, 6.0)][:2]
    ['fused in this process 2.6 s', 'fused over loky workers 7.3 s']
    """
    found = []
    for executor in executors:
        here = executor == HERE
        over = 1 if here else min(workers, count)
        start = 0.0 if here else start_s
        found.append(Way("alone", executor, start + epochs * count / over * (trial.alone if here else trial.single)))
        if trial.fused is not None:
            found.append(Way("fused", executor, start + epochs * count / over * trial.fused))
    return sorted(found, key=lambda way: way.seconds)


def chosen(group: Sequence[Prepared], workers: int, warm: bool, sweep: str) -> list[Share]:
    """How a group of one shape is trained, divided among the workers."""
    first = group[0]
    asked, path = first.asked["executor"][KEY], first.values["path"]
    executors = LOCAL if asked == AUTO else (asked,)
    against = unfusable(first)
    if path == "fused":
        how = How("fused", "path=fused", executors[-1], forced=True, sweep=sweep)
    elif path == "alone" and asked != AUTO:
        how = How("alone", "path=alone", asked, sweep=sweep)
    elif len(group) == 1 and asked != AUTO:
        how = How("alone", against or "no other run of its shape", asked, sweep=sweep)
    else:
        how = _by_trial(group, workers, executors, against, warm, sweep)
    over = 1 if how.executor == HERE else workers
    most = min(MOST, room(first, over)) if how.path == "fused" else 1
    shares, at = [], 0
    for size in parts_of(len(group), over, most):
        shares.append(Share(tuple(group[at : at + size]), how))
        at += size
    return shares


def _by_trial(
    group: Sequence[Prepared], workers: int, executors: Sequence[str], against: str, warm: bool, sweep: str
) -> How:
    first = group[0]
    key = (shape(first), len(group) > 1)
    if key not in _trials:
        _trials[key] = tried(group, against)
    trial = _trials[key]
    found = ways(trial, first.plan.epochs, len(group), workers, executors, 0.0 if warm else START_S)
    best = found[0]
    other = next((way for way in found if way.path != best.path), None)
    why = f"a trial: {best}" + (f", {other}" if other else f"; {trial.why}")
    return How(best.path, why, best.executor, sweep=sweep)
