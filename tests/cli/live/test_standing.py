"""Tests of the state of a sweep: counts, running cohorts, and the remaining time."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.live.standing import SweepState
from harness.execution.locks.run_lock import RunLocks
from harness.execution.sweep.callbacks import PlannedRuns, SweepPlan
from harness.execution.sweep.progress import EpochProgress, LiveCohort
from tests.cli.sweeps import RAISED, ended


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def standing(runs: int = 8, cached: int = 0) -> tuple[SweepState, Clock]:
    """State of a sweep whose training began at 10 s."""
    clock = Clock()
    state = SweepState(clock)
    state.on_sweep_start(runs)
    for number in range(cached):
        state.on_run_end(number, runs, ended(number, cached=True))
    clock.now = 10.0
    names = {f"{n:012x}": ended(n).name for n in range(cached, runs)}
    state.on_sweep_planned(SweepPlan(names, frozenset(), (PlannedRuns("fused", "loky", "a trial", runs - cached, 2),)))
    return state, clock


def cohort(*numbers: int, epoch: int = 0, epochs: int = 0) -> LiveCohort:
    return LiveCohort(frozenset(f"{n:012x}" for n in numbers), len(numbers), epoch, epochs)


def test_no_remaining_time_before_training() -> None:
    state, clock = standing(8, cached=4)
    clock.now = 100.0
    assert (state.left_s, state.share) == (None, 0.5)
    assert state.counts() == [("already complete", 4), ("left", 4)]
    empty = SweepState(clock)
    assert (empty.left_s, empty.share, empty.left, empty.counts()) == (None, 0.0, None, [])


def test_cached_runs_do_not_change_the_remaining_time() -> None:
    state, clock = standing(8, cached=4)
    clock.now = 20.0
    state.on_run_end(4, 8, ended(4))
    assert state.left_s == pytest.approx(30.0)  # one of four took ten seconds
    assert (state.elapsed_s, state.training_s, state.share) == (20.0, 10.0, 5 / 8)


def test_epochs_of_running_cohorts_count() -> None:
    state, clock = standing(8)
    clock.now = 20.0
    state.cohorts = [cohort(0, 1, 2, 3, epoch=5, epochs=10), cohort(4, 5)]
    assert state.share == pytest.approx(2 / 8)
    assert state.left_s == pytest.approx(30.0)
    assert state.counts() == [("running", 6), ("left", 2)]
    for number in range(4):
        state.on_run_end(number, 8, ended(number))
    assert state.counts() == [("completed", 4), ("running", 2), ("left", 2)]


def test_statuses_are_counted_in_order_and_last_failures_are_kept() -> None:
    state, _ = standing(8)
    for number, status in enumerate(["diverged", "failed", "completed", "failed", "failed"]):
        state.on_run_end(number, 8, ended(number, status, error=RAISED))
    assert state.counts() == [("completed", 1), ("failed", 3), ("diverged", 1), ("left", 3)]
    assert [record.status for record in state.last] == ["failed"] * 3


def test_launcher_without_job_count_and_plan_has_no_estimate() -> None:
    state = SweepState(Clock())
    state.on_run_end(0, None, ended(0))
    state.refresh()
    assert (state.jobs, state.left, state.left_s, state.share) == (None, None, None, 0.0)
    assert state.counts() == [("completed", 1)]


def test_look_finds_only_the_cohorts_of_this_sweep(tmp_path: Path) -> None:
    state, _ = standing(8)
    state.on_sweep_planned(SweepPlan({}, frozenset({tmp_path, tmp_path / "none"})))
    with RunLocks(tmp_path) as ours, RunLocks(tmp_path) as strange:
        ours.claim(ids := [f"{n:012x}" for n in range(4)])
        strange.claim(["f" * 12])
        pace = EpochProgress(ours, ids, 20)
        state.refresh()
        assert state.cohorts == [cohort(0, 1, 2, 3, epoch=0, epochs=20)]
        pace.on_epoch_end({}, 10, 0)
        state.refresh()
        assert state.cohorts == [cohort(0, 1, 2, 3, epoch=1, epochs=20)]
        assert (state.running, state.left) == (4, 4)
    state.refresh()
    assert state.cohorts == []


def test_failing_look_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(study: Path) -> list[LiveCohort]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("harness.cli.live.standing.cohorts", away)
    state, _ = standing(8)
    state.on_sweep_planned(SweepPlan({}, frozenset({tmp_path})))
    state.refresh()
    assert state.cohorts == []


def test_name_is_shown_without_the_common_parts() -> None:
    state, _ = standing(8)
    assert state.short_name(ended(3).name) == "seed=3"
    assert state.single_run(cohort(3)) == "seed=3"
    assert state.single_run(cohort(99)) == ""
