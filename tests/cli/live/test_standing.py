"""How a sweep stands: counts, what is trained, and the time that is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.live.standing import SweepState
from harness.execution.locks.run_lock import RunLocks
from harness.execution.sweep.events import PlannedRuns, SweepPlan
from harness.execution.sweep.progress import EpochProgress, LiveCohort
from tests.cli.sweeps import RAISED, ended


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def standing(runs: int = 8, cached: int = 0) -> tuple[SweepState, Clock]:
    """Of a sweep whose training has begun at 10 s."""
    clock = Clock()
    found = SweepState(clock)
    found.began(runs)
    for number in range(cached):
        found.run(number, runs, ended(number, cached=True))
    clock.now = 10.0
    names = {f"{n:012x}": ended(n).name for n in range(cached, runs)}
    found.planned(SweepPlan(names, frozenset(), (PlannedRuns("fused", "loky", "a trial", runs - cached, 2),)))
    return found, clock


def cohort(*numbers: int, epoch: int = 0, epochs: int = 0) -> LiveCohort:
    return LiveCohort(frozenset(f"{n:012x}" for n in numbers), len(numbers), epoch, epochs)


def test_nothing_is_known_before_something_is_trained() -> None:
    found, clock = standing(8, cached=4)
    clock.now = 100.0
    assert (found.left_s, found.share) == (None, 0.5)
    assert found.counts() == [("already complete", 4), ("left", 4)]
    empty = SweepState(clock)
    assert (empty.left_s, empty.share, empty.left, empty.counts()) == (None, 0.0, None, [])


def test_what_was_complete_before_says_nothing_of_the_time_left() -> None:
    found, clock = standing(8, cached=4)
    clock.now = 20.0
    found.run(4, 8, ended(4))
    assert found.left_s == pytest.approx(30.0)  # one of four took ten seconds
    assert (found.elapsed_s, found.training_s, found.share) == (20.0, 10.0, 5 / 8)


def test_the_epochs_of_what_is_trained_now_count() -> None:
    found, clock = standing(8)
    clock.now = 20.0
    found.cohorts = [cohort(0, 1, 2, 3, epoch=5, epochs=10), cohort(4, 5)]
    assert found.share == pytest.approx(2 / 8)
    assert found.left_s == pytest.approx(30.0)
    assert found.counts() == [("running", 6), ("left", 2)]
    for number in range(4):
        found.run(number, 8, ended(number))
    assert found.counts() == [("completed", 4), ("running", 2), ("left", 2)]


def test_how_runs_ended_is_counted_in_one_order_and_the_last_failures_are_kept() -> None:
    found, _ = standing(8)
    for number, status in enumerate(["diverged", "failed", "completed", "failed", "failed"]):
        found.run(number, 8, ended(number, status, error=RAISED))
    assert found.counts() == [("completed", 1), ("failed", 3), ("diverged", 1), ("left", 3)]
    assert [record.status for record in found.last] == ["failed"] * 3


def test_a_launcher_that_tells_neither_its_jobs_nor_its_plan() -> None:
    found = SweepState(Clock())
    found.run(0, None, ended(0))
    found.refresh()
    assert (found.jobs, found.left, found.left_s, found.share) == (None, None, None, 0.0)
    assert found.counts() == [("completed", 1)]


def test_a_look_finds_the_cohorts_of_this_sweep_alone(tmp_path: Path) -> None:
    found, _ = standing(8)
    found.planned(SweepPlan({}, frozenset({tmp_path, tmp_path / "none"})))
    with RunLocks(tmp_path) as ours, RunLocks(tmp_path) as strange:
        ours.claim(ids := [f"{n:012x}" for n in range(4)])
        strange.claim(["f" * 12])
        pace = EpochProgress(ours, ids, 20)
        found.refresh()
        assert found.cohorts == [cohort(0, 1, 2, 3, epoch=0, epochs=20)]
        pace.epoch({}, 10, 0)
        found.refresh()
        assert found.cohorts == [cohort(0, 1, 2, 3, epoch=1, epochs=20)]
        assert (found.running, found.left) == (4, 4)
    found.refresh()
    assert found.cohorts == []


def test_a_look_that_fails_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(study: Path) -> list[LiveCohort]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("harness.cli.live.standing.cohorts", away)
    found, _ = standing(8)
    found.planned(SweepPlan({}, frozenset({tmp_path})))
    found.refresh()
    assert found.cohorts == []


def test_a_name_is_shown_without_what_all_have_in_common() -> None:
    found, _ = standing(8)
    assert found.short_name(ended(3).name) == "seed=3"
    assert found.single_run(cohort(3)) == "seed=3"
    assert found.single_run(cohort(99)) == ""
