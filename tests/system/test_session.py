"""Tests of sessions: each holds the state that its runs share, apart from other sessions."""

from __future__ import annotations

from pathlib import Path

import harness
from harness.execution.sweep.callbacks import ActiveCallbacks, SweepCallback, using
from harness.execution.sweep.strategy import TimingTrials
from harness.registry import catalogue
from harness.results.record import Record
from harness.system.session import Session, current, state

LINE = ["data=iris", "epochs=1", "logger=[]", "executor=in_process", "model=mlp"]


class Ends(SweepCallback):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self.names.append(record.name)


def test_state_is_made_once_for_each_session() -> None:
    outer = state(TimingTrials)
    assert state(TimingTrials) is outer
    with Session() as session:
        assert current() is session
        inner = state(TimingTrials)
        assert inner is not outer
        with session:
            assert state(TimingTrials) is inner
        assert state(TimingTrials) is inner
    assert state(TimingTrials) is outer


def test_session_is_left_when_a_block_raises() -> None:
    before = current()
    try:
        with Session():
            raise KeyError
    except KeyError:
        pass
    assert current() is before


def test_runs_in_two_sessions_match_runs_in_one(workdir: Path) -> None:
    alone = [harness.run([*LINE, f"seed={seed}", "study=alone"]).metrics for seed in range(2)]
    first, second = Session(), Session()
    metrics = []
    for seed, session in enumerate((first, second)):
        with session:
            metrics.append(harness.run([*LINE, f"seed={seed}", "study=sessions"]).metrics)
    with first:
        assert harness.run([*LINE, "seed=1", "study=sessions"]).cached
    assert metrics == alone
    assert first.state(catalogue.read) is not second.state(catalogue.read)


def test_callback_gets_runs_of_its_own_session_only(workdir: Path) -> None:
    mine, others = Ends(), Ends()
    with Session(), using([others]), Session():
        harness.sweep([*LINE, "seed=0,1"], callbacks=[mine])
    assert len(mine.names) == 2
    assert others.names == []
    assert state(ActiveCallbacks) == []
