"""Tests of the strategy: the path and workers of each group, as set by the user, fastest, or safest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.preparation import RunSpec
from harness.execution.sweep import strategy, trial_cache
from harness.execution.sweep.grouping import groups
from harness.execution.sweep.strategy import (
    FUSED_MARGIN,
    IN_PROCESS,
    WORKERS,
    WorkItem,
    pack,
    plan_work,
    start_seconds,
    strategies,
    task_seconds,
)
from harness.execution.sweep.timing_trial import TimingTrial
from harness.system.session import Session, current
from tests.execution.sweep.test_grouping import prepared

LONG = TimingTrial(alone=5.0, single=5.0, fused=1.0)  # seconds per epoch: long enough to start workers
SHORT = TimingTrial(alone=1e-3, single=1e-3, fused=1e-4)
UNFUSABLE = TimingTrial(alone=1e-3, single=1e-3, fused=None, why="cannot be fused: it is odd")
SECONDS = st.floats(1e-4, 1e3)
WorkItems = Callable[..., list[WorkItem]]


@pytest.fixture
def work_items(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkItems]:
    """Return the work items of some runs, by a given timing trial, in a process that has started no workers."""

    def items(members: Sequence[RunSpec], trial: TimingTrial, workers: int = 2, room: int = 1000) -> list[WorkItem]:
        current().forget(strategy.TimingTrials)
        monkeypatch.setattr(trial_cache, "recall", lambda key: None)
        monkeypatch.setattr(trial_cache, "keep", lambda key, trial: None)
        monkeypatch.setattr(strategy, "predict", lambda group: None)
        monkeypatch.setattr(strategy, "tried", lambda *_: trial)
        monkeypatch.setattr(strategy, "room", lambda group, workers: room)
        return plan_work(groups(members), workers, "sweep")

    monkeypatch.setattr(strategy, "can_fork", lambda: True)
    monkeypatch.setattr(strategy, "edited", lambda: False)
    with Session():
        yield items


def seeds(count: int, *line: str) -> list[RunSpec]:
    """Runs that differ in their seeds."""
    (one,) = prepared(list(line))
    return [
        replace(one, values=one.values | {"seed": seed}, record=replace(one.record, id=f"{one.record.id[:8]}{seed:04}"))
        for seed in range(count)
    ]


def executors(items: Sequence[WorkItem]) -> set[str]:
    return {item.plan.executor for item in items}


def paths(items: Sequence[WorkItem]) -> set[str]:
    return {item.plan.path for item in items}


def sizes(items: Sequence[WorkItem]) -> list[int]:
    return [len(item.specs) for item in items]


@given(SECONDS, SECONDS, st.none() | SECONDS, st.integers(1, 50), st.integers(1, 300), st.integers(1, 16))
def test_strategies_are_sorted_by_expected_time(
    alone: float, single: float, fused: float | None, epochs: int, count: int, workers: int
) -> None:
    trial = TimingTrial(alone, single, fused)
    for executor, over, each in ((IN_PROCESS, 1, alone), (WORKERS, min(workers, count), single)):
        options = strategies(trial, epochs, count, workers, executor)
        seconds = {option.path: option.seconds for option in options}
        assert seconds.keys() == ({"alone"} if fused is None else {"alone", "fused"})
        assert seconds["alone"] >= count / over * epochs * each
        stack = fused is not None and seconds["fused"] < FUSED_MARGIN * seconds["alone"]
        assert options[0].path == ("fused" if stack else "alone")
        if fused is not None:
            assert seconds["fused"] >= count / over * epochs * fused


def test_stack_that_saves_no_time_is_not_made(work_items: WorkItems) -> None:
    items = work_items(seeds(4, "executor=in_process"), TimingTrial(alone=1.0, single=1.0, fused=1.5))
    assert paths(items) == {"alone"}
    assert items[0].plan.why.startswith("expected: alone in this process")
    assert "fused in this process" in items[0].plan.why


def test_short_sweep_runs_in_this_process(work_items: WorkItems) -> None:
    assert executors(work_items(seeds(4), SHORT)) == {IN_PROCESS}
    assert executors(work_items(seeds(4), LONG)) == {WORKERS}


def test_workers_win_ties_because_they_survive(work_items: WorkItems) -> None:
    """With one warm worker, neither executor is faster."""
    assert executors(work_items(seeds(4), SHORT, workers=1)) == {IN_PROCESS}  # none has started
    strategy.note_started(WORKERS)
    assert executors(work_items(seeds(4), SHORT, workers=1)) == {WORKERS}
    # one thread here saves less than IN_PROCESS_MARGIN asks for, four save more
    assert executors(work_items(seeds(4), TimingTrial(alone=4.5, single=5.0, fused=None), workers=1)) == {WORKERS}
    assert executors(work_items(seeds(4), TimingTrial(alone=1.0, single=5.0, fused=None), workers=1)) == {IN_PROCESS}


def test_start_time_of_workers_counts(work_items: WorkItems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "IMPORT_S", 1e6)
    assert executors(work_items(seeds(4), LONG)) == {WORKERS}
    monkeypatch.setattr(strategy, "can_fork", lambda: False)
    assert executors(work_items(seeds(4), LONG)) == {IN_PROCESS}
    monkeypatch.setattr(strategy, "can_fork", lambda: True)
    monkeypatch.setattr(strategy, "edited", lambda: True)  # a forked worker would hold the old code
    assert executors(work_items(seeds(4), LONG)) == {IN_PROCESS}


def test_run_begun_by_a_dead_process_sends_all_to_workers(work_items: WorkItems) -> None:
    members = [*seeds(4), *seeds(2, "model.width=9")]
    members[2].orphan = True
    assert executors(work_items(members, SHORT)) == {WORKERS}


def test_run_that_kills_its_trial_goes_to_a_worker(work_items: WorkItems) -> None:
    items = work_items(
        seeds(3), TimingTrial(0.0, 0.0, None, "the trial failed: its process ended with SIGKILL", deadly=True)
    )
    assert (executors(items), paths(items), sizes(items)) == ({WORKERS}, {"alone"}, [1, 1, 1])
    assert items[0].plan.why.endswith("the trial failed: its process ended with SIGKILL")


def test_requested_executor_is_kept(work_items: WorkItems) -> None:
    members = seeds(4, "executor=in_process")
    members[0].orphan = True
    assert executors(work_items(members, LONG)) == {IN_PROCESS}
    assert executors(work_items(seeds(4, "executor=loky"), SHORT)) == {"loky"}
    assert executors(work_items(seeds(4, "executor=dask"), SHORT)) == {"dask"}


@pytest.mark.parametrize(
    ("path", "trial"), [("alone", SHORT), ("fused", TimingTrial(0.01, 0.01, 0.1)), ("fused", UNFUSABLE)]
)
def test_requested_path_is_kept(work_items: WorkItems, path: str, trial: TimingTrial) -> None:
    for executor in ("auto", "in_process", "loky"):
        items = work_items(seeds(4, f"path={path}", f"executor={executor}"), trial)
        assert {(item.plan.path, item.plan.why) for item in items} == {(path, f"path={path}")}
        assert {item.plan.forced for item in items} == {path == "fused"}  # only a fused run can turn out impossible


def test_reason_against_a_stack_is_reported(work_items: WorkItems) -> None:
    (one,) = work_items(seeds(1), SHORT)
    assert (one.plan.path, one.plan.why) == ("alone", "no other run of its shape")
    items = work_items(seeds(2, "executor=in_process"), UNFUSABLE)
    assert paths(items) == {"alone"}
    assert items[0].plan.why.endswith("; cannot be fused: it is odd")


def test_group_is_divided_evenly_among_workers(work_items: WorkItems) -> None:
    members = seeds(10, "executor=loky", "path=fused")
    assert sizes(work_items(members, LONG, workers=4)) == [3, 3, 2, 2]
    assert sizes(work_items(members, LONG, workers=1)) == [10]
    assert sizes(work_items(members[:3], LONG, workers=4)) == [1, 1, 1]
    items = work_items(members, LONG, workers=4)
    assert sorted(m.record.id for item in items for m in item.specs) == sorted(m.record.id for m in members)


def test_in_process_group_is_one_stack_for_any_jobs(work_items: WorkItems) -> None:
    assert sizes(work_items(seeds(10, "executor=in_process", "path=fused"), LONG, workers=4)) == [10]


def test_stack_size_is_limited_by_memory_and_by_the_cost_of_a_lost_worker(
    work_items: WorkItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = seeds(10, "executor=loky", "path=fused")
    assert sizes(work_items(members, LONG, workers=2, room=2)) == [2, 2, 2, 2, 1, 1]
    monkeypatch.setattr(strategy, "MAX_STACK", 3)
    assert sizes(work_items(members, LONG, workers=2)) == [3, 3, 2, 2]
    assert sizes(work_items(seeds(10, "executor=in_process", "path=fused"), LONG)) == [3, 3, 2, 2]


def test_single_runs_are_handed_over_one_by_one(work_items: WorkItems) -> None:
    assert sizes(work_items(seeds(5, "executor=loky", "path=alone"), LONG, room=2)) == [1] * 5


def test_queued_runs_are_packed_within_the_time_limit(work_items: WorkItems) -> None:
    line = ["executor=submitit", "path=alone", "epochs=2"]
    node = seeds(1, *line, "executor.timeout_min=1")[0].asked["executor"]
    items = work_items([*seeds(8, *line), *seeds(1, *line, "model.width=9")], LONG)  # 10 s each
    limit = task_seconds(node)
    assert limit == 60.0
    assert [round(item.seconds) for item in items] == [10] * 9
    assert [len(task) for task in pack(items, 3, 1e9)] == [3, 3, 3]
    assert [len(task) for task in pack(items, 2, limit)] == [3, 2, 2, 2]  # 30 s, and a little more for each run
    assert [len(task) for task in pack(items, 20, limit)] == [1] * 9
    assert sorted(id(item) for task in pack(items, 2, limit) for item in task) == sorted(map(id, items))


def test_workers_that_start_at_once_get_no_packs(work_items: WorkItems) -> None:
    for executor in ("auto", "in_process", "loky", "dask"):
        (one,) = seeds(1, f"executor={executor}")
        assert task_seconds(one.asked["executor"]) is None
        (item,) = work_items([one], LONG)
        assert item.seconds == 0.0  # no trial is made for it


def test_queued_job_is_expected_to_start_slowly(work_items: WorkItems) -> None:
    seconds = {}
    for executor in ("loky", "submitit"):
        item = work_items(seeds(4, f"executor={executor}"), UNFUSABLE)[0]
        seconds[executor] = float(item.plan.why.partition(" workers ")[2].partition(" s")[0])
    assert seconds["submitit"] == pytest.approx(seconds["loky"] + 30.0, rel=0, abs=0.2)


@pytest.mark.parametrize(("trial", "start", "stacks"), [
    (TimingTrial(0.5, 0.5, 0.05), "30", [67, 67, 66]),  # 200 runs of 0.05 s and 10 epochs: 100 s, and a little more
    (TimingTrial(0.5, 0.5, 0.05), "0", [50] * 4),
    (TimingTrial(0.01, 0.01, 0.001), "30", [200]),
])  # fmt: skip
def test_jobs_train_at_least_as_long_as_they_take_to_start(
    work_items: WorkItems, trial: TimingTrial, start: str, stacks: list[int]
) -> None:
    line = ["executor=submitit", f"executor.start_s={start}", "path=fused", "epochs=10"]
    items = work_items(seeds(200, *line), trial, workers=4)
    assert sizes(items) == stacks
    node = items[0].specs[0].asked["executor"]
    assert [len(task) for task in pack(items, 4, 1e9, start_seconds(node))] == [1] * len(stacks)


def test_shape_is_tried_once(work_items: WorkItems, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def tried(group: Sequence[RunSpec], *_: object) -> TimingTrial:
        seen.append(len(group))
        return SHORT

    work_items([], SHORT)
    monkeypatch.setattr(strategy, "tried", tried)
    for _ in range(2):
        plan_work(groups([*seeds(4), *seeds(2, "model.width=9")]), 2, "sweep")
    assert sorted(seen) == [2, 4]
    plan_work(groups(seeds(4, "executor=loky", "path=alone", "model.width=10")), 2, "sweep")
    assert sorted(seen) == [2, 4]  # there is no choice left
