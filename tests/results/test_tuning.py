"""Tests of the results of tuning: the winner, its neighbours and borders, and their files."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.tuning import Trial, Tuning, at_border, best, holds_trials, nearest, read_tunings, write
from harness.space import Choice, Integers, Log, Uniform

quick = settings(max_examples=100, deadline=None, derandomize=True)


def trial(*values: float, loss: float = math.nan, **given: object) -> Trial:
    n = len(values)
    return Trial(given, ("0" * 12,) * n, ("completed",) * n, values, (loss,) * n, 10)


def tuning(*trials: Trial, **changes: object) -> Tuning:
    whole = Tuning("0123456789ab", {"optimizer": "adam"}, "val/accuracy", True, "random", 4, (7, 8), {}, trials)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_winner_has_the_best_mean_in_the_direction_of_the_objective() -> None:
    trials = [trial(0.5, 0.7), trial(0.8, 0.9), trial(0.1, 0.2)]
    assert (best(trials, True), best(trials, False)) == (1, 2)


def test_equal_scores_are_ordered_by_the_validation_loss_and_then_by_the_order_of_trials() -> None:
    assert best([trial(0.9, loss=0.3), trial(0.9, loss=0.2), trial(0.9, loss=0.2)], True) == 1
    assert best([trial(0.9), trial(0.9)], True) == 0


def test_trial_with_a_failed_run_never_wins_against_one_without() -> None:
    assert best([trial(math.nan, 1.0), trial(0.1, 0.1)], True) == 1
    assert best([trial(math.nan), trial(math.nan)], True) == 0


@quick
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.booleans())
def test_winner_is_the_optimum_of_the_scores(scores: list[float], higher: bool) -> None:
    place = best([trial(score) for score in scores], higher)
    assert scores[place] == (max(scores) if higher else min(scores))


def test_border_is_the_outer_part_of_an_ordered_space() -> None:
    spaces = {"lr": Log(1e-5, 1e-1), "p": Uniform(0, 1), "depth": Integers(1, 20), "act": Choice("relu", "tanh")}
    assert at_border({"lr": 9e-2, "p": 0.5, "depth": 10, "act": "relu"}, spaces) == ["lr"]
    assert at_border({"lr": 1e-3, "p": 0.01, "depth": 1, "act": "relu"}, spaces) == ["p", "depth"]


def test_neighbours_are_nearest_on_the_scale_of_each_space() -> None:
    rates = [1e-3, 1.1e-3, 1e-1, 5e-4, 1e-5, 1e-3]
    trials = [trial(0.5, lr=lr) for lr in rates]
    assert nearest(0, trials, {"lr": Log(1e-5, 1e-1)}) == [1, 3, 2]


def test_file_holds_every_trial(tmp_path: Path) -> None:
    written = tuning(
        trial(0.5, math.nan, loss=math.inf, **{"optimizer.lr": 0.1, "act": "relu"}),
        trial(0.75, 0.5, **{"optimizer.lr": 0.2, "act": "tanh"}),
        space={"optimizer.lr": "log(0.01, 1.0)", "act": "choice('relu', 'tanh')"},
    )
    write(written, tmp_path)
    (read,) = read_tunings(tmp_path)
    assert repr(read) == repr(written)
    assert repr(read.trials) == repr(written.trials)
    assert read.summary()["settings"] == {"optimizer.lr": 0.2, "act": "tanh"}
    assert read.summary()["failed"] == 1
    assert read.summary()["steps"] == 20


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"trials": []}, "no trials"),
        ({"method": "luck"}, "method"),
        ({"space": {"optimizer.lr": "log(1)"}}, "search space"),
        ({"space": {"optimizer.momentum": "uniform(0, 1)"}}, "no value of optimizer.momentum"),
        ({"seeds": [1, 2, 3]}, "one run for each seed"),
        ({"schema": 2}, "schema"),
    ],
)
def test_wrong_file_is_named_and_left_out(change: dict[str, object], mistake: str, tmp_path: Path) -> None:
    write(tuning(trial(0.5, 0.5)), tmp_path)
    path = tmp_path / "tuning" / "0123456789ab.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    unreadable: list[str] = []
    assert read_tunings(tmp_path, unreadable) == []
    assert mistake in unreadable[0]
    assert unreadable[0].startswith(str(path))
    path.write_text(path.read_text()[:40])
    assert read_tunings(tmp_path) == []


def test_file_that_a_killed_process_left_is_removed_later(tmp_path: Path) -> None:
    write(tuning(trial(0.5, 0.5)), tmp_path)
    old, new = (tmp_path / "tuning" / f".{name}.json.01234567.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_text("{")
    os.utime(old, (1e9, 1e9))
    write(tuning(trial(0.5, 0.5)), tmp_path)
    assert not old.exists()
    assert new.exists()  # another process may be writing it


def test_study_of_trials_is_known_by_its_name() -> None:
    assert holds_trials("a/b/tuning")
    assert not holds_trials("tuning")
