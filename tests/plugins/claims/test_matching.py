"""Tests of what makes the sides of a claim comparable, and of the choice of settings before they are compared."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness
from harness_claims.claim import Claim, parse
from harness_claims.matching import Match, parse_match
from harness_claims.reading import measure
from harness_claims.running import run, study
from tests.plugins.claims.test_claim import ROW, changed

SIDES = {"wide": ["model.width=32"], "narrow": ["model.width=8"]}
FAST = ["data=wine", "model=mlp", "optimizer.lr=0.02", "epochs=40"]


def claim(**keys: Any) -> Claim:
    row = {**ROW, "hold": FAST, "sides": SIDES, "conditions": {"always": {"set": [], "expect": "open"}}, "seeds": 2}
    return parse("matched", {**row, "quick": {}, **keys})


def records(of: Claim) -> list[harness.Record]:
    return list(harness.load(f"outputs/{study(of)}"))


def test_runs_are_compared_when_they_reach_a_training_accuracy(workdir: Path) -> None:
    matched = claim(
        match={"train/accuracy": 0.9}, measure={"epochs": "train/accuracy >= 0.9"}, decide={"above": 0, "of": "share"}
    )
    result = run(matched)
    assert all(record.metrics["train/accuracy"] >= 0.9 for record in records(matched))
    assert {record.ended["by"] for record in records(matched)} == {"regularizer.stop_at"}
    assert result.decided[0].missing == 0


def test_run_that_does_not_reach_the_value_has_no_measurement(workdir: Path) -> None:
    matched = claim(hold=[*FAST[:-1], "epochs=1"], match={"train/accuracy": 0.99})
    (one,) = run(matched).decided
    assert (one.outcome, one.missing) == ("not settled", 2)


def test_matching_adds_to_the_regularizers_of_a_side(workdir: Path) -> None:
    sides = {"dropout": ["regularizer=[dropout]"], "none": ["regularizer=[]"]}
    matched = claim(sides=sides, match="best_validation", hold=[*FAST[:-1], "epochs=3"])
    run(matched)
    assert {tuple(sorted(record.config["regularizer"])) for record in records(matched)} == {
        ("dropout", "early_stopping"),
        ("early_stopping",),
    }


def test_stated_number_of_parameters_is_checked(workdir: Path) -> None:
    sides = {"wide": ["model.width=32", "model.depth=1"], "deep": ["model.width=16", "model.depth=2"]}
    hold = ["data=wine", "model=mlp", "epochs=1"]
    assert run(claim(sides=sides, hold=hold, match={"model.parameters": 547})).runs == 4
    with pytest.raises(harness.HarnessError, match=r"the claim states 400 parameters, and .* has 547: choose a width"):
        run(claim(sides=sides, hold=hold, match={"model.parameters": 400}))


def test_equal_time_ends_runs_by_time(workdir: Path) -> None:
    matched = claim(match={"time": 1}, hold=["data=wine", "model=mlp", "epochs=100000"], seeds=1)
    run(matched)
    assert {record.ended["reason"] for record in records(matched)} == {"max_time"}


def test_settings_are_chosen_on_seeds_that_are_not_judged(workdir: Path) -> None:
    tuned = claim(
        hold=["data=wine", "model=mlp", "epochs=5"],
        tune={"over": {"optimizer.lr": [0.00001, 0.03]}, "by": "val/loss", "seeds": 1},
        measure={"metric": "test/loss"},
    )
    run(tuned)
    judged = [record for record in records(tuned) if record.tuning is not None]
    assert len(judged) == 4
    assert {record.config["optimizer"]["lr"] for record in judged} == {0.03}
    assert {record.config["seed"] for record in judged} == {0, 1}


DIVERGING = ["optimizer=sgd", "optimizer.lr=1e6"]


def test_diverged_run_has_the_worst_value_of_a_metric_with_a_direction(workdir: Path) -> None:
    diverging = harness.run(["data=diabetes", "model=mlp", *DIVERGING, "epochs=3"])
    assert diverging.status == "diverged"
    reading = measure({"metric": "test/mse"})
    assert reading.of(diverging) is None
    assert reading.of(diverging, {"test/loss": False}) is None
    assert reading.of(diverging, {"test/mse": False}) == math.inf
    assert reading.of(diverging, {"test/mse": True}) == -math.inf


def test_curve_of_a_diverged_run_is_read_before_it_diverged_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(1, 0, "val/loss", 2.0), (1, 0, "dead_units/all", 0.5), (2, 1, "val/loss", 1.0)]
    monkeypatch.setattr("harness_claims.reading.read_curves", lambda record: rows)
    diverged: Any = SimpleNamespace(status="diverged", metrics={}, best={})
    lower = {"val/loss": False}
    read = {
        moment: measure({"curve": "val/loss", "at": at}).of(diverged, lower)
        for moment, at in {"first": "first", "2": {"epoch": 2}, "3": {"epoch": 3}, "last": "last", "min": "min"}.items()
    }
    assert read == {"first": 2.0, "2": 1.0, "3": math.inf, "last": math.inf, "min": math.inf}
    assert measure({"curve": "val/loss"}).of(diverged) is None
    assert measure({"curve": "dead_units/*"}).of(diverged) == 0.5


def test_diverged_run_that_did_not_reach_the_value_has_no_measurement(workdir: Path) -> None:
    hold = ["data=diabetes", "model=mlp", *DIVERGING, "epochs=3"]
    matched = claim(hold=hold, match={"train/loss": 1e-6}, measure={"curve": "train/loss", "at": "first"})
    (one,) = run(matched).decided
    assert {record.status for record in records(matched)} == {"diverged"}
    assert (one.outcome, one.missing) == ("not settled", 2)


@pytest.mark.parametrize(
    ("effect", "decide", "sides"),
    [
        ("difference", {"above": 0.0, "of": "rank"}, {"good": ["optimizer.lr=0.01"], "bad": DIVERGING}),
        ("pick", {"above": 0.5, "of": "share"}, {"good": ["optimizer.lr=0.01"], "bad": DIVERGING}),
    ],
)
def test_run_that_diverged_before_it_was_evaluated_is_worse(
    effect: str, decide: Any, sides: Any, workdir: Path
) -> None:
    """The direction of the metric comes from the runs that measured it."""
    compared = claim(
        hold=["data=wine", "model=mlp", "epochs=2", "regularizer=[]", "activation=relu"],
        sides=sides,
        seeds=6,
        effect=effect,
        decide=decide,
        measure={"metric": "test/accuracy"},
    )
    result = run(compared)
    assert {record.status for record in records(compared)} == {"completed", "diverged"}
    assert result.verdict == "supported"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("epochs", "after equal epochs"),
        ({"train/accuracy": 0.95}, "when train/accuracy reaches 0.95"),
        ({"model.parameters": 400}, "with 400 parameters"),
        ({"time": 4000}, "after 4000 s of training"),
    ],
)
def test_matching_rule_is_stated(row: Any, text: str) -> None:
    assert parse_match(row).text("en") == text


def test_hours_are_counted() -> None:
    assert "trainer.max_time=00:01:06:40" in Match("time", 4000).words([])


def test_tuning_is_part_of_a_claim() -> None:
    tuned = parse("wide", changed("tune", {"over": {"optimizer.lr": [0.01, 0.1], "batch_size": [16, 32]}}))
    assert tuned.tune is not None
    assert tuned.tune.words[0] == "tune.budget=4"
