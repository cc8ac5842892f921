"""Choose the path and the workers of each group of a sweep: as the user set them, or as a timing trial suggests."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.execution.cohort import CohortPlan
from harness.execution.preparation import RunSpec
from harness.execution.sweep import trial_cache
from harness.execution.sweep.callbacks import over
from harness.execution.sweep.cost_model import predict
from harness.execution.sweep.grouping import unfusable
from harness.execution.sweep.timing_trial import ALONE_S, FUSED_S, TOO_LITTLE, TimingTrial, parts_of, room, tried, worth
from harness.execution.workers import edited
from harness.registry.instantiate import Node, trait
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.system import session
from harness.system.forking import can_fork

IN_PROCESS = "in_process"
WORKERS = KINDS["executor"].auto or IN_PROCESS  # the executor that `auto` chooses where workers are worth their start
MAX_STACK = 256  # runs: a worker that is killed loses a whole stack
IMPORT_S = min(10.0, time.process_time())  # a new worker takes as long for its imports as this process took
FORK_S = 0.1  # a forked worker starts sooner; none is forked where code was edited
TASK_FILL = 0.5  # part of a task's time limit that is planned for: the cores of a cluster may be slower than ours
# A stack is chosen if it promises at most this part of the time alone: there are few stacks, and the last one to end
# determines the time of the sweep.
FUSED_MARGIN = 0.9
# This process is chosen if it promises at most this part of the time over workers: only workers survive a run that
# ends its process.
IN_PROCESS_MARGIN = 0.8


class TimingTrials(dict[str, TimingTrial]):
    """Timing trials of a session by their keys, also those that are not worth being cached for others."""


class StartedExecutors(set[str]):
    """The names of the executors whose workers were started."""


@dataclass(frozen=True)
class WorkItem:
    """Runs of one shape that a worker trains together, as a stack or a single run.

    Args:
        specs: The runs.
        plan: The path, the executor and the reason for both.
        seconds: The expected seconds; 0 where no time limit depends on them.
    """

    specs: tuple[RunSpec, ...]
    plan: CohortPlan
    seconds: float = 0.0


@dataclass(frozen=True)
class Strategy:
    """A path and an executor for a group of runs, with the seconds that training is expected to take."""

    path: str
    executor: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.path} {over(self.executor)} {self.seconds:.1f} s"


def strategies(trial: TimingTrial, epochs: int, count: int, workers: int, executor: str) -> list[Strategy]:
    """Return the strategies for a group over an executor whose workers have started, the preferred one first.

    Args:
        trial: Seconds of an epoch of one run of the group.
        epochs: The number of epochs of a run.
        count: The number of runs in the group.
        workers: The number of workers; one is used where the executor is `in_process`.
        executor: The name of the executor.

    >>> [str(strategy) for strategy in strategies(TimingTrial(0.02, 0.02, 0.002), 20, 64, 2, "loky")]
    ['fused over loky workers 1.4 s', 'alone over loky workers 13.3 s']
    """
    in_process = executor == IN_PROCESS
    runs_per_worker = count / (1 if in_process else min(workers, count))
    epoch_alone = trial.alone if in_process else trial.single
    options = [Strategy("alone", executor, runs_per_worker * (ALONE_S + epochs * epoch_alone))]
    if trial.fused is not None:
        options.append(Strategy("fused", executor, runs_per_worker * (FUSED_S + epochs * trial.fused)))
    return sorted(options, key=lambda option: option.seconds * (FUSED_MARGIN if option.path == "alone" else 1.0))


def plan_work(groups: Sequence[Sequence[RunSpec]], workers: int, sweep: str) -> list[WorkItem]:
    """Choose a path and an executor for each group, and divide the groups among the workers.

    All groups whose executor is `auto` get the same one: workers if these finish all of them sooner.

    Args:
        groups: Groups of runs of one shape each, which have the same settings of the executor.
        workers: The number of workers.
        sweep: The ID of this launch, for the records.
    """
    undecided = [group for group in groups if group[0].asked["executor"][KEY] == AUTO]
    auto = _choose_executor(undecided, workers) if undecided else ""
    planned, total = [], 0.0
    for group in groups:
        node = group[0].asked["executor"]
        plan = _plan(group, workers, auto if node[KEY] == AUTO else node[KEY], sweep)
        planned.append((group, plan, _seconds(group, plan, workers)))
        total += len(group) * planned[-1][2]
    items = []
    for group, plan, seconds in planned:
        tasks = worth_starting(total, workers, start_seconds(group[0].asked["executor"]))
        items += _divide(group, plan, 1 if plan.executor == IN_PROCESS else tasks, seconds)
    return items


def worth_starting(seconds: float, workers: int, start_s: float) -> int:
    """Return how many workers to start, so that each trains at least as long as it takes to start.

    Args:
        seconds: Seconds of training in all.
        workers: The largest number.
        start_s: Seconds that the start of a worker takes; 0 where it costs nothing.

    >>> [worth_starting(seconds, 8, 30.0) for seconds in (5.0, 100.0, 3600.0)]
    [1, 3, 8]
    """
    return workers if start_s == 0 else max(1, min(workers, int(seconds / start_s)))


def pack(items: Sequence[WorkItem], workers: int, limit_s: float, start_s: float = 0.0) -> list[tuple[WorkItem, ...]]:
    """Pack work items into tasks of about equal time, for an executor whose tasks are costly to start.

    Args:
        items: The items, with the seconds that each is expected to take.
        workers: The number of tasks, unless fewer are worth their start, there are fewer items, or these take longer
            than the limit allows.
        limit_s: Seconds that the executor gives a task. Half of it is planned for.
        start_s: Seconds that a task takes to start.

    Returns:
        The items of each task, in the order in which it trains them.

    >>> items = [WorkItem((), CohortPlan(), seconds) for seconds in (60.0, 30.0, 30.0, 30.0, 30.0)]
    >>> [[item.seconds for item in task] for task in pack(items, 3, math.inf)]
    [[60.0], [30.0, 30.0], [30.0, 30.0]]
    >>> [[item.seconds for item in task] for task in pack(items, 1, 240.0)]
    [[60.0, 30.0], [30.0, 30.0, 30.0]]
    >>> [[item.seconds for item in task] for task in pack(items, 3, math.inf, start_s=90.0)]
    [[60.0, 30.0], [30.0, 30.0, 30.0]]
    """
    total = sum(item.seconds for item in items)
    wanted = max(worth_starting(total, workers, start_s), math.ceil(total / (TASK_FILL * limit_s)))
    tasks: list[list[int]] = [[] for _ in range(min(wanted, len(items)))]
    shortest = [(0.0, 0, index) for index in range(len(tasks))]  # seconds, runs and index of each task
    for place in sorted(range(len(items)), key=lambda place: -items[place].seconds):
        seconds, runs, index = heapq.heappop(shortest)
        tasks[index].append(place)
        item = items[place]
        heapq.heappush(shortest, (seconds + item.seconds, runs + len(item.specs), index))
    return [tuple(items[place] for place in sorted(task)) for task in tasks]


def task_seconds(node: Node) -> float | None:
    """Return the seconds that an executor gives a task whose start is costly; None where tasks start at once."""
    minutes = None if node[KEY] == AUTO else trait("executor", node, "task_minutes", None)
    return None if minutes is None else 60.0 * float(minutes)


def start_seconds(node: Node) -> float:
    """Return the seconds that a task of an executor takes to start; 0 where tasks start at once."""
    return 0.0 if task_seconds(node) is None else float(trait("executor", node, "task_start", IMPORT_S))


def note_started(executor: str) -> None:
    """Note that the workers of an executor have started: the next sweep of this session need not wait for them."""
    session.state(StartedExecutors).add(executor)


def _choose_executor(groups: Sequence[Sequence[RunSpec]], workers: int) -> str:
    """Return the executor for `executor=auto`: workers if a run may end its process, or if they are clearly sooner."""
    if any(spec.orphan for group in groups for spec in group) or any(_trial(group, workers).deadly for group in groups):
        return WORKERS
    in_process = sum(_fastest(group, workers, IN_PROCESS).seconds for group in groups)
    over_workers = sum(_fastest(group, workers, WORKERS).seconds for group in groups)
    start = 0.0 if WORKERS in session.state(StartedExecutors) else FORK_S if can_fork() and not edited() else IMPORT_S
    return IN_PROCESS if in_process <= IN_PROCESS_MARGIN * (over_workers + start) else WORKERS


def _fastest(group: Sequence[RunSpec], workers: int, executor: str) -> Strategy:
    """Return the strategy with the path that the user set, or else the preferred one."""
    path = group[0].values["path"]
    options = _strategies(group, workers, executor)
    return next((option for option in options if option.path == path), options[0])


def _strategies(group: Sequence[RunSpec], workers: int, executor: str) -> list[Strategy]:
    first = group[0]
    start = start_seconds(first.asked["executor"])
    options = strategies(_trial(group, workers), first.plan.epochs, len(group), workers, executor)
    return [replace(option, seconds=option.seconds + start) for option in options]


def _trial(group: Sequence[RunSpec], workers: int) -> TimingTrial:
    """Return the timing trial of a group: predicted, of this session, from the cache, or else measured now."""
    key = trial_cache.key(group, workers)
    trials = session.state(TimingTrials)
    trial = trials.get(key) or trial_cache.recall(key)
    if trial is None and not unfusable(group[0]) and (predicted := predict(group)) is not None:
        return predicted
    if trial is None or (trial.why == TOO_LITTLE and worth(trial.single, group, workers)):
        executor = group[0].asked["executor"][KEY]
        # where every worker has a run to train, the threads of this process are no gain
        in_process = executor == IN_PROCESS or (executor == AUTO and len(group) < workers)
        trial = tried(group, unfusable(group[0]), 1 if executor == IN_PROCESS else workers, in_process)
        trial_cache.keep(key, trial)
    trials[key] = trial
    return trial


def _plan(group: Sequence[RunSpec], workers: int, executor: str, sweep: str) -> CohortPlan:
    """Choose the path of a group over an executor, and say why."""
    path = group[0].values["path"]
    if path != "auto":
        return CohortPlan(path, f"path={path}", executor, forced=path == "fused", sweep=sweep)
    if len(group) == 1:
        return CohortPlan("alone", unfusable(group[0]) or "no other run of its shape", executor, sweep=sweep)
    best, *others = _strategies(group, workers, executor)
    why = f"expected: {best}" + (f", {others[0]}" if others else f"; {_trial(group, workers).why}")
    return CohortPlan(best.path, why, executor, sweep=sweep)


def _divide(group: Sequence[RunSpec], plan: CohortPlan, workers: int, seconds: float) -> list[WorkItem]:
    """Divide a group into stacks as large as memory allows, or into single runs, which take some seconds each."""
    most = min(MAX_STACK, room(group, workers)) if plan.path == "fused" else 1
    items, start = [], 0
    for size in parts_of(len(group), workers, most):
        items.append(WorkItem(tuple(group[start : start + size]), plan, size * seconds))
        start += size
    return items


def _seconds(group: Sequence[RunSpec], plan: CohortPlan, workers: int) -> float:
    """Return the seconds that a run of a group is expected to take, where tasks are costly to start; otherwise 0."""
    if task_seconds(group[0].asked["executor"]) is None:
        return 0.0
    options = strategies(_trial(group, workers), group[0].plan.epochs, 1, 1, plan.executor)
    return next((option.seconds for option in options if option.path == plan.path), options[0].seconds)
