"""The command that adds seeds trains the same study with more of them."""

from __future__ import annotations

import pytest

from harness.analysis.comparison.commands import more_seeds
from tests.helpers.studies import record, study

TWO = {"optimizer": ["adam", "sgd"]}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("harness -m optimizer=adam,sgd seed=0,1,2", "harness -m optimizer=adam,sgd 'seed=range(30)' study=made"),
        (
            "harness -m 'seed=range(3)' 'split.seed=${seed}' optimizer=adam,sgd study=made",
            "harness -m optimizer=adam,sgd 'seed=range(30)' 'split.seed=${seed}' study=made",
        ),
        (
            "harness -m optimizer=adam,sgd seed=0,1,2 split.seed=0,1,2 'zip=[seed,split.seed]'",
            "harness -m optimizer=adam,sgd 'seed=range(30)' 'split.seed=${seed}' study=made",
        ),
        (
            "harness -m hydra/sweeper=basic optimizer=adam,sgd seed=0,1,2",
            "harness -m hydra/sweeper=basic optimizer=adam,sgd 'seed=range(30)' study=made",
        ),
        ("harness -m hydra/sweeper=optuna optimizer=adam,sgd seed=0,1,2", ""),
        ("", ""),
    ],
)
def test_seeds_are_added_to_the_command_of_the_study(typed: str, expected: str) -> None:
    split = "split.seed" in typed
    records = study(TWO, lambda o, s: 0.9, seeds=3, split=split, command=typed)
    for run in records:
        run.swept = [key for key in run.swept if key != "split.seed" or "zip" in typed]
    assert more_seeds(records, 3, 30) == expected


def test_single_seed_gets_ten() -> None:
    records = study(TWO, lambda o, s: 0.9, seeds=1, split=False, command="harness -m optimizer=adam,sgd")
    assert more_seeds(records, 1, 30) == "harness -m optimizer=adam,sgd 'seed=range(10)' study=made"


def test_seeds_begin_where_the_study_did() -> None:
    records = study(TWO, lambda o, s: 0.9, seeds=range(100, 103), split=False, command="harness -m seed=100,101,102")
    assert more_seeds(records, 3, 30) == "harness -m 'seed=range(100,130)' study=made"


def test_no_command_when_all_planned_seeds_are_used() -> None:
    records = study(TWO, lambda o, s: 0.9, seeds=3, split=False, command="harness -m seed=0,1,2")
    assert more_seeds(records, 30, 30) == ""


def test_no_command_when_splits_vary_by_themselves() -> None:
    typed = "harness -m optimizer=adam,sgd seed=0,1,2 split.seed=5,6,7 'zip=[seed,split.seed]'"
    records = [
        record({"optimizer": o, "seed": s, "split.seed": 5 + s}, 0.9, swept=["seed", "split.seed"], command=typed)
        for o in ("adam", "sgd")
        for s in range(3)
    ]
    assert more_seeds(records, 3, 30) == ""


def test_no_command_for_sweeps_that_differ() -> None:
    records = study(TWO, lambda o, s: 0.9, seeds=3, split=False, command="harness -m optimizer=adam,sgd seed=0,1,2")
    assert more_seeds(records, 3, 30) != ""
    records[0].command = "harness -m optimizer=adam,sgd seed=0,1,2 epochs=9"
    assert more_seeds(records, 3, 30) == ""
    records[0].command = "harness -m optimizer=adam,sgd 'seed=range(9)'"
    assert more_seeds(records, 3, 30) != ""
