"""The path and the workers of each group: what the user said, the soonest done, or where a run can do no harm."""

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
    strategies,
    task_seconds,
)
from harness.execution.sweep.timing_trial import TimingTrial
from harness.system.session import Session, current
from tests.execution.sweep.test_grouping import prepared

LONG = TimingTrial(alone=5.0, single=5.0, fused=1.0)  # seconds of an epoch: workers are worth their start
SHORT = TimingTrial(alone=1e-3, single=1e-3, fused=1e-4)
UNFUSABLE = TimingTrial(alone=1e-3, single=1e-3, fused=None, why="cannot be fused: it is odd")
SECONDS = st.floats(1e-4, 1e3)
Told = Callable[..., list[WorkItem]]


@pytest.fixture
def told(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """The items of some runs, where a trial tells what it is told to; in a process that has started no workers."""

    def items(members: Sequence[RunSpec], trial: TimingTrial, workers: int = 2, room: int = 1000) -> list[WorkItem]:
        current().forget(strategy.TimingTrials)
        monkeypatch.setattr(trial_cache, "recall", lambda key: None)
        monkeypatch.setattr(trial_cache, "keep", lambda key, trial: None)
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
def test_strategies_are_in_the_order_of_their_ends(
    alone: float, single: float, fused: float | None, epochs: int, count: int, workers: int
) -> None:
    trial = TimingTrial(alone, single, fused)
    for executor, over, each in ((IN_PROCESS, 1, alone), (WORKERS, min(workers, count), single)):
        found = strategies(trial, epochs, count, workers, executor)
        seconds = {option.path: option.seconds for option in found}
        assert seconds.keys() == ({"alone"} if fused is None else {"alone", "fused"})
        assert seconds["alone"] >= count / over * epochs * each
        stack = fused is not None and seconds["fused"] < FUSED_MARGIN * seconds["alone"]
        assert found[0].path == ("fused" if stack else "alone")
        if fused is not None:
            assert seconds["fused"] >= count / over * epochs * fused


def test_a_stack_that_saves_nothing_is_not_made(told: Told) -> None:
    found = told(seeds(4, "executor=in_process"), TimingTrial(alone=1.0, single=1.0, fused=1.5))
    assert paths(found) == {"alone"}
    assert found[0].plan.why.startswith("expected: alone in this process")
    assert "fused in this process" in found[0].plan.why


def test_what_is_soon_done_is_done_here(told: Told) -> None:
    assert executors(told(seeds(4), SHORT)) == {IN_PROCESS}
    assert executors(told(seeds(4), LONG)) == {WORKERS}


def test_between_equals_workers_are_chosen_since_they_survive(told: Told) -> None:
    """With one worker that is warm there is nothing to be gained by either."""
    assert executors(told(seeds(4), SHORT, workers=1)) == {IN_PROCESS}  # none has started
    strategy.note_started(WORKERS)
    assert executors(told(seeds(4), SHORT, workers=1)) == {WORKERS}
    # one thread here saves less than IN_PROCESS_MARGIN asks for, four save more
    assert executors(told(seeds(4), TimingTrial(alone=4.5, single=5.0, fused=None), workers=1)) == {WORKERS}
    assert executors(told(seeds(4), TimingTrial(alone=1.0, single=5.0, fused=None), workers=1)) == {IN_PROCESS}


def test_what_a_worker_costs_to_start_counts(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "IMPORT_S", 1e6)
    assert executors(told(seeds(4), LONG)) == {WORKERS}
    monkeypatch.setattr(strategy, "can_fork", lambda: False)
    assert executors(told(seeds(4), LONG)) == {IN_PROCESS}
    monkeypatch.setattr(strategy, "can_fork", lambda: True)
    monkeypatch.setattr(strategy, "edited", lambda: True)  # what is forked would hold code as it was
    assert executors(told(seeds(4), LONG)) == {IN_PROCESS}


def test_one_that_a_dead_process_had_begun_goes_to_a_worker_with_all_others(told: Told) -> None:
    members = [*seeds(4), *seeds(2, "model.width=9")]
    members[2].orphan = True
    assert executors(told(members, SHORT)) == {WORKERS}


def test_one_that_kills_who_tries_it_goes_to_a_worker(told: Told) -> None:
    found = told(seeds(3), TimingTrial(0.0, 0.0, None, "the trial failed: its process ended with SIGKILL", deadly=True))
    assert (executors(found), paths(found), sizes(found)) == ({WORKERS}, {"alone"}, [1, 1, 1])
    assert found[0].plan.why.endswith("the trial failed: its process ended with SIGKILL")


def test_an_executor_that_was_asked_for_is_kept(told: Told) -> None:
    members = seeds(4, "executor=in_process")
    members[0].orphan = True
    assert executors(told(members, LONG)) == {IN_PROCESS}
    assert executors(told(seeds(4, "executor=loky"), SHORT)) == {"loky"}
    assert executors(told(seeds(4, "executor=dask"), SHORT)) == {"dask"}


@pytest.mark.parametrize(
    ("path", "trial"), [("alone", SHORT), ("fused", TimingTrial(0.01, 0.01, 0.1)), ("fused", UNFUSABLE)]
)
def test_a_path_that_was_asked_for_is_kept(told: Told, path: str, trial: TimingTrial) -> None:
    for executor in ("auto", "in_process", "loky"):
        found = told(seeds(4, f"path={path}", f"executor={executor}"), trial)
        assert {(item.plan.path, item.plan.why) for item in found} == {(path, f"path={path}")}
        assert {item.plan.forced for item in found} == {path == "fused"}  # alone is no promise that can be broken


def test_why_there_is_no_stack_is_told(told: Told) -> None:
    (one,) = told(seeds(1), SHORT)
    assert (one.plan.path, one.plan.why) == ("alone", "no other run of its shape")
    found = told(seeds(2, "executor=in_process"), UNFUSABLE)
    assert paths(found) == {"alone"}
    assert found[0].plan.why.endswith("; cannot be fused: it is odd")


def test_a_group_is_divided_evenly_among_the_workers(told: Told) -> None:
    members = seeds(10, "executor=loky", "path=fused")
    assert sizes(told(members, LONG, workers=4)) == [3, 3, 2, 2]
    assert sizes(told(members, LONG, workers=1)) == [10]
    assert sizes(told(members[:3], LONG, workers=4)) == [1, 1, 1]
    found = told(members, LONG, workers=4)
    assert sorted(m.record.id for item in found for m in item.specs) == sorted(m.record.id for m in members)


def test_in_this_process_there_is_one_stack_however_many_jobs(told: Told) -> None:
    assert sizes(told(seeds(10, "executor=in_process", "path=fused"), LONG, workers=4)) == [10]


def test_a_stack_is_no_larger_than_memory_and_a_lost_worker_allow(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    members = seeds(10, "executor=loky", "path=fused")
    assert sizes(told(members, LONG, workers=2, room=2)) == [2, 2, 2, 2, 1, 1]
    monkeypatch.setattr(strategy, "MAX_STACK", 3)
    assert sizes(told(members, LONG, workers=2)) == [3, 3, 2, 2]
    assert sizes(told(seeds(10, "executor=in_process", "path=fused"), LONG)) == [3, 3, 2, 2]


def test_runs_by_themselves_are_handed_over_one_by_one(told: Told) -> None:
    assert sizes(told(seeds(5, "executor=loky", "path=alone"), LONG, room=2)) == [1] * 5


def test_runs_of_a_queue_are_packed_within_its_time_limit(told: Told) -> None:
    line = ["executor=submitit", "path=alone", "epochs=2"]
    node = seeds(1, *line, "executor.timeout_min=1")[0].asked["executor"]
    items = told([*seeds(8, *line), *seeds(1, *line, "model.width=9")], LONG)  # 10 s each
    limit = task_seconds(node)
    assert limit == 60.0
    assert [round(item.seconds) for item in items] == [10] * 9
    assert [len(task) for task in pack(items, 3, 1e9)] == [3, 3, 3]
    assert [len(task) for task in pack(items, 2, limit)] == [3, 2, 2, 2]  # 30 s, and a little more for each run
    assert [len(task) for task in pack(items, 20, limit)] == [1] * 9
    assert sorted(id(item) for task in pack(items, 2, limit) for item in task) == sorted(map(id, items))


def test_workers_that_start_at_once_are_handed_no_packs(told: Told) -> None:
    for executor in ("auto", "in_process", "loky", "dask"):
        (one,) = seeds(1, f"executor={executor}")
        assert task_seconds(one.asked["executor"]) is None
        (item,) = told([one], LONG)
        assert item.seconds == 0.0  # nothing is tried for it


def test_a_job_of_a_queue_is_expected_to_start_slowly(told: Told) -> None:
    seconds = {}
    for executor in ("loky", "submitit"):
        item = told(seeds(4, f"executor={executor}"), UNFUSABLE)[0]
        seconds[executor] = float(item.plan.why.partition(" workers ")[2].partition(" s")[0])
    assert seconds["submitit"] == pytest.approx(seconds["loky"] + strategy.IMPORT_S, rel=0, abs=0.2)


def test_a_shape_is_tried_once(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def tried(group: Sequence[RunSpec], *_: object) -> TimingTrial:
        seen.append(len(group))
        return SHORT

    told([], SHORT)
    monkeypatch.setattr(strategy, "tried", tried)
    for _ in range(2):
        plan_work(groups([*seeds(4), *seeds(2, "model.width=9")]), 2, "sweep")
    assert sorted(seen) == [2, 4]
    plan_work(groups(seeds(4, "executor=loky", "path=alone", "model.width=10")), 2, "sweep")
    assert sorted(seen) == [2, 4]  # nothing is left to be chosen
