"""Tests of timing trials: even parts, and members that fail without harm to the others."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.preparation import RunSpec
from harness.execution.sweep import timing_trial
from harness.execution.sweep.timing_trial import TOO_LITTLE, parts_of, room, tried, worth
from tests.execution.sweep.test_grouping import prepared

COUNTS = st.integers(1, 300)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a stack whatever it costs."""
    monkeypatch.setattr(timing_trial, "WORTH", math.inf)


def test_stack_is_tried_if_that_costs_little_beside_the_runs(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    few, more = (prepared(*([f"seed={seed}", f"epochs={n}"] for seed in range(2))) for n in (1, 1000))
    assert tried(few).why == TOO_LITTLE
    assert worth(0.02, more, 1)
    assert not worth(0.02, more, 1000)  # with many workers, little is left for each


@given(COUNTS, st.integers(1, 16), COUNTS)
def test_parts_are_even_and_equally_many_for_each_worker(count: int, workers: int, most: int) -> None:
    sizes = parts_of(count, workers, most)
    assert sum(sizes) == count
    assert 1 <= min(sizes) <= max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) % workers == 0 or len(sizes) == count


def test_failing_member_does_not_end_a_trial(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = timing_trial.build
    members = prepared(*([f"seed={seed}"] for seed in range(6)))

    def build(values, *rest):  # type: ignore[no-untyped-def]
        if values["seed"] in broken:
            raise RuntimeError("broken")
        return whole(values, *rest)

    monkeypatch.setattr(timing_trial, "build", build)
    for broken in ({0}, {3}, {0, 3}):  # noqa: B007  # read by the function above
        trial = tried(members)
        assert trial.alone > 0
        assert trial.fused is not None
    broken = set(range(6))
    assert tried(members).why == "the trial failed: RuntimeError: broken"
    assert room(members, 2) > 0


def test_single_run_has_no_fused_trial(workdir: Path) -> None:
    members: list[RunSpec] = prepared([])
    assert tried(members).fused is None


def kills(*seeds: int, stacked: bool = False) -> Callable[[object, range], object]:
    """SinglePath.train (or StackedPath.train) that kills its process in the steps of runs with some seeds."""
    path = timing_trial.StackedPath if stacked else timing_trial.SinglePath
    whole = path.train

    def train(self: Any, batches: range) -> object:
        plans = self.plans if stacked else [self.plan]
        if {plan.seed for plan in plans} & set(seeds):
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, batches)

    return train


def test_trial_that_kills_its_process_is_reported(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = prepared(*([f"seed={seed}"] for seed in range(4)))
    monkeypatch.setattr(timing_trial.SinglePath, "train", kills(0))
    trial = tried(members)
    assert (trial.deadly, trial.fused) == (True, None)
    assert trial.why == "the trial failed: its process ended with SIGKILL"
    assert not tried(members[1:]).deadly


def test_stack_that_kills_its_process_is_reported(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = prepared(*([f"seed={seed}"] for seed in range(4)))
    monkeypatch.setattr(timing_trial.StackedPath, "train", kills(1, stacked=True))
    assert tried(members).deadly
    assert not tried(members[2:]).deadly


def test_trial_does_not_change_this_process(workdir: Path) -> None:
    members = prepared(["seed=0"], ["seed=1"])
    torch.manual_seed(3)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    trial = tried(members)
    assert trial.alone > 0 < trial.single
    assert trial.fused is not None
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_run_with_data_in_files_is_tried(workdir: Path) -> None:
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).numpy()
    np.savez(workdir / "a.npz", x=x, y=x[:, 0] > 0)
    line = ["data=npz", "data.path=a.npz", "data.in_memory=false", "cache_dir=kept", "batch_size=16"]
    trial = tried(prepared(line), "the data is not in memory")
    assert trial.alone > 0
    assert trial.why == "the data is not in memory"
