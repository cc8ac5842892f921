"""Tests of the live table of a sweep: its lines and its width."""

from __future__ import annotations

import cProfile

import pytest
from rich.cells import cell_len

from harness.cli.live.standing import SweepState
from harness.cli.live.sweep_table import SweepTable
from harness.execution.sweep.callbacks import PlannedRuns, SweepPlan
from harness.execution.sweep.progress import LiveCohort
from tests.cli.sweeps import RAISED, ended, terminal, text

WHY = "expected: fused over loky workers 3.2 s, alone over loky workers 31.0 s"


def lines(standing: SweepState, width: int = 80) -> list[str]:
    console = terminal(width)
    console.print(SweepTable(standing))
    return [line.rstrip() for line in text(console).splitlines()]


def begun(runs: int = 64, clock: float = 0.0) -> SweepState:
    now = [0.0]
    state = SweepState(lambda: now[0])
    state.on_sweep_start(runs)
    names = {f"{n:012x}": ended(n).name for n in range(runs)}
    state.on_sweep_planned(SweepPlan(names, frozenset(), (PlannedRuns("fused", "loky", WHY, runs, 4),)))
    now[0] = clock
    return state


def test_table_before_training() -> None:
    state = SweepState(lambda: 0.0)
    state.on_sweep_start(6)
    counts, bar, now = lines(state)
    assert counts == "0 of 6 runs  6 left"
    assert bar.endswith("0% 0:00 elapsed, - left")
    assert now == "now       checking the jobs: their configs, their data, a short trial"


def test_table_during_a_sweep() -> None:
    state = begun(clock=30.0)
    for number in range(20):
        state.on_run_end(number, 64, ended(number, value=number / 100))
    state.on_run_end(
        20, 64, ended(20, "failed", error=RAISED, cohort={"path": "alone", "executor": "loky", "why": "no"})
    )
    state.on_run_end(21, 64, ended(21, "diverged"))
    state.cohorts = [LiveCohort(frozenset(f"{n:012x}" for n in range(22, 38)), 16, 7, 20)]
    counts, more, bar, *rows = lines(state, 72)
    assert counts == "22 of 64 runs  20 completed  1 failed  1 diverged  16 running  26 left"
    assert more.startswith("━")
    assert more.endswith("43% 0:30 elapsed, 0:40 left")
    assert [bar, *rows] == [
        "best run  val/accuracy 0.19  seed=19",
        "path      fused 21 of 64 over loky workers in 4 stacks (a trial)",
        "          alone 1 over loky workers (no)",
        "training  16 runs  epoch 7 of 20",
        "failed    seed=20  RuntimeError: no [bold]room[/bold] for it",
        "diverged  seed=21  the training loss became nan, step 21",
    ]


@pytest.mark.parametrize("width", [20, 40, 59, 60, 200])
def test_table_fits_any_width(width: int) -> None:
    state = begun(clock=30.0)
    for number in range(3):
        state.on_run_end(
            number, 64, ended(number, "failed", error=RAISED, name=f"model=ｗｉｄｅ,{'x' * 100},seed={number}")
        )
    state.on_run_end(3, 64, ended(3))
    state.cohorts = [LiveCohort(frozenset({f"{n:012x}"}), 1, 1, 20) for n in range(4, 10)]
    shown = lines(state, width)
    assert max(cell_len(line) for line in shown) <= width
    assert sum(line.startswith("failed") for line in shown) == 3
    assert any("and 2 mor" in line for line in shown)
    counted = " ".join(line for line in shown if line[:1].isdigit() or line.startswith("  ")).split()
    assert [word for word in counted if word in ("completed", "failed", "running", "left")][:4] == [
        "completed",
        "failed",
        "running",
        "left",
    ]


def test_unknown_job_count_shows_no_bar() -> None:
    state = SweepState(lambda: 0.0)
    state.on_run_end(0, None, ended(0, cohort={"path": "alone", "executor": "in_process", "why": "one run at a time"}))
    assert lines(state) == [
        "1 runs  1 completed",
        "0:00 elapsed, - left",
        "best run  val/accuracy 0.5  regularizer=[l2,dropout],seed=0,epochs=2",
        "path      alone 1 in this process (one run at a time)",
    ]


def test_work_of_drawing_does_not_grow_with_runs() -> None:
    def calls(runs: int) -> int:
        state = begun(runs)
        for number in range(runs - 1):
            state.on_run_end(
                number, runs, ended(number, cohort={"path": "alone", "executor": "loky", "why": str(number)})
            )
        lines(state)  # fills caches
        with cProfile.Profile() as profile:
            lines(state)
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(10_000) <= 2 * calls(100)
