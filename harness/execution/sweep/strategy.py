"""The path and the workers of each group of a sweep: what the user said, or what a trial says is soonest done."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.execution.cohort import CohortPlan
from harness.execution.preparation import RunSpec
from harness.execution.sweep import trial_cache
from harness.execution.sweep.grouping import unfusable
from harness.execution.sweep.timing_trial import ALONE_S, FUSED_S, TOO_LITTLE, TimingTrial, parts_of, room, tried, worth
from harness.execution.workers import edited
from harness.registry.instantiate import Node, trait
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.system import session
from harness.system.forking import can_fork

HERE = "in_process"
AWAY = KINDS["executor"].auto or HERE  # between these two a trial can choose
MOST = 256  # members of a stack, so that a killed worker loses no more
IMPORT_S = min(10.0, time.process_time())  # until a new worker has imported what this process has imported by now
FORK_S = 0.1  # until one that is forked has begun, which none is where code was edited
FILLED = 0.5  # of its time limit that a task is expected to take: a cluster's cores may be slower than this one
WORTH = 0.9  # of the time by themselves is what a stack must promise: its shares are few, and the last to end decides
SURE = 0.8  # of the time over workers is what this process must promise: only those survive what a run may do


class TimingTrials(dict[str, TimingTrial]):
    """Timing trials of a session by their keys, also those that are not worth being cached for others."""


class StartedExecutors(set[str]):
    """The names of the executors whose workers were started."""


@dataclass(frozen=True)
class WorkItem:
    """What a worker is handed at a time: members of one shape, and how they are trained."""

    members: tuple[RunSpec, ...]
    how: CohortPlan
    seconds: float = 0.0  # that it is expected to take, where shares are packed into tasks


@dataclass(frozen=True)
class Strategy:
    """One of the ways to train a group: its path, its executor, and the seconds that it is thought to take."""

    path: str
    executor: str
    seconds: float

    def __str__(self) -> str:
        over = "in this process" if self.executor == HERE else f"over {self.executor} workers"
        return f"{self.path} {over} {self.seconds:.1f} s"


def ways(trial: TimingTrial, epochs: int, count: int, workers: int, executor: str) -> list[Strategy]:
    """The paths over an executor whose workers have started, the one to take first.

    >>> [str(way) for way in ways(TimingTrial(0.02, 0.02, 0.002), 20, 64, 2, "loky")]
    ['fused over loky workers 1.4 s', 'alone over loky workers 13.3 s']
    """
    here = executor == HERE
    over = 1 if here else min(workers, count)
    each = count / over
    found = [Strategy("alone", executor, each * (ALONE_S + epochs * (trial.alone if here else trial.single)))]
    if trial.fused is not None:
        found.append(Strategy("fused", executor, each * (FUSED_S + epochs * trial.fused)))
    return sorted(found, key=lambda way: way.seconds * (WORTH if way.path == "alone" else 1.0))


def chosen(groups: Sequence[Sequence[RunSpec]], workers: int, sweep: str) -> list[WorkItem]:
    """How groups of one shape each are trained, divided among the workers.

    Where the executor is `auto`, workers are started if that is sooner done for all groups together.
    """
    free = [group for group in groups if group[0].asked["executor"][KEY] == AUTO]
    executors = {id(group): _executor(free, workers) for group in free} if free else {}
    shares = []
    for group in groups:
        executor = executors.get(id(group), group[0].asked["executor"][KEY])
        how = _how(group, workers, executor, sweep)
        shares += _divided(group, how, 1 if executor == HERE else workers)
    return shares


def packed(shares: Sequence[WorkItem], workers: int, limit_s: float) -> list[tuple[WorkItem, ...]]:
    """Pack the shares of a sweep into tasks of about equal time, for an executor whose tasks are costly to start.

    Args:
        shares: The shares, with the seconds that each is expected to take.
        workers: The number of tasks, unless there are fewer shares or these take longer than the limit allows.
        limit_s: Seconds that the executor gives a task. It is filled by half.

    Returns:
        The shares of each task, in the order in which it trains them.

    >>> runs = [WorkItem((), CohortPlan(), seconds) for seconds in (60.0, 30.0, 30.0, 30.0, 30.0)]
    >>> [[share.seconds for share in task] for task in packed(runs, 3, math.inf)]
    [[60.0], [30.0, 30.0], [30.0, 30.0]]
    >>> [[share.seconds for share in task] for task in packed(runs, 1, 240.0)]
    [[60.0, 30.0], [30.0, 30.0, 30.0]]
    """
    wanted = max(workers, math.ceil(sum(share.seconds for share in shares) / (FILLED * limit_s)))
    tasks: list[list[int]] = [[] for _ in range(min(wanted, len(shares)))]
    shortest = [(0.0, 0, at) for at in range(len(tasks))]  # seconds, members and place of each task
    for place in sorted(range(len(shares)), key=lambda place: -shares[place].seconds):
        seconds, members, at = heapq.heappop(shortest)
        tasks[at].append(place)
        share = shares[place]
        heapq.heappush(shortest, (seconds + share.seconds, members + len(share.members), at))
    return [tuple(shares[place] for place in sorted(task)) for task in tasks]


def task_seconds(node: Node) -> float | None:
    """Return the seconds that an executor gives a task whose start is costly; None where tasks start at once."""
    minutes = None if node[KEY] == AUTO else trait("executor", node, "task_minutes", None)
    return None if minutes is None else 60.0 * float(minutes)


def started(executor: str) -> None:
    """Notes that an executor's workers have been started: the next sweep of this process finds them."""
    session.state(StartedExecutors).add(executor)


def _executor(groups: Sequence[Sequence[RunSpec]], workers: int) -> str:
    """Workers where one of the runs is known to end its process, or where they are not much later done."""
    if any(member.orphan for group in groups for member in group) or any(
        _trial(group, workers).deadly for group in groups
    ):
        return AWAY
    here = sum(_soonest(group, workers, HERE).seconds for group in groups)
    away = sum(_soonest(group, workers, AWAY).seconds for group in groups)
    start = 0.0 if AWAY in session.state(StartedExecutors) else FORK_S if can_fork() and not edited() else IMPORT_S
    return HERE if here <= SURE * (away + start) else AWAY


def _soonest(group: Sequence[RunSpec], workers: int, executor: str) -> Strategy:
    asked = group[0].values["path"]
    found = _ways(group, workers, executor)
    return next((way for way in found if way.path == asked), found[0])


def _ways(group: Sequence[RunSpec], workers: int, executor: str) -> list[Strategy]:
    first = group[0]
    start = 0.0 if task_seconds(first.asked["executor"]) is None else IMPORT_S
    found = ways(_trial(group, workers), first.plan.epochs, len(group), workers, executor)
    return [replace(way, seconds=way.seconds + start) for way in found]


def _trial(group: Sequence[RunSpec], workers: int) -> TimingTrial:
    key = trial_cache.key(group, workers)
    trials = session.state(TimingTrials)
    found = trials.get(key) or trial_cache.recall(key)
    if found is None or (found.why == TOO_LITTLE and worth(found.single, group, workers)):
        asked = group[0].asked["executor"][KEY]
        # over workers that are no fewer than its threads, this process has nothing to gain by them
        here = asked == HERE or (asked == AUTO and len(group) < workers)
        found = tried(group, unfusable(group[0]), 1 if asked == HERE else workers, here)
        trial_cache.keep(key, found)
    trials[key] = found
    return found


def _how(group: Sequence[RunSpec], workers: int, executor: str, sweep: str) -> CohortPlan:
    path = group[0].values["path"]
    if path != "auto":
        return CohortPlan(path, f"path={path}", executor, forced=path == "fused", sweep=sweep)
    if len(group) == 1:
        return CohortPlan("alone", unfusable(group[0]) or "no other run of its shape", executor, sweep=sweep)
    best, *others = _ways(group, workers, executor)
    why = f"expected: {best}" + (f", {others[0]}" if others else f"; {_trial(group, workers).why}")
    return CohortPlan(best.path, why, executor, sweep=sweep)


def _divided(group: Sequence[RunSpec], how: CohortPlan, workers: int) -> list[WorkItem]:
    """The group in shares: stacks as large as memory allows, and runs that are trained alone one at a time."""
    most = min(MOST, room(group, workers)) if how.path == "fused" else 1
    each = _seconds(group, how, workers)
    shares, at = [], 0
    for size in parts_of(len(group), workers, most):
        shares.append(WorkItem(tuple(group[at : at + size]), how, size * each))
        at += size
    return shares


def _seconds(group: Sequence[RunSpec], how: CohortPlan, workers: int) -> float:
    """The seconds that a member of a group is expected to take, where a time limit depends on them; otherwise 0."""
    limit = task_seconds(group[0].asked["executor"])
    if limit is None or math.isinf(limit):
        return 0.0
    found = ways(_trial(group, workers), group[0].plan.epochs, 1, 1, how.executor)
    return next((way.seconds for way in found if way.path == how.path), found[0].seconds)
