"""Tests of the results frame for bencheval: its schema, and that bencheval ranks the arms by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.analysis.export.bencheval import frame
from harness.results.record import Record
from harness.system.errors import HarnessError
from tests.helpers.studies import noise, study

LEVELS = {"optimizer": ["adam", "sgd"], "data": ["digits", "wine"]}


def records(**settings: object) -> list[Record]:
    def quality(optimizer: str, data: str, seed: int) -> float:
        return round((0.5 + 0.1 * (optimizer == "adam") + noise(data, seed, sd=0.01)) * 400) / 400

    return study(LEVELS, quality, 3, **settings)  # type: ignore[arg-type]


def test_frame_has_the_schema_of_bencheval() -> None:
    made = records()
    made[0] = replace(made[0], status="failed")
    found, metric = frame(made)
    assert metric.name == "test/accuracy"
    assert list(found.columns) == ["method", "task", "seed", "metric_error", "time_train_s"]
    assert len(found) == 11
    assert found.iloc[0].to_dict() == {
        "method": "adam",
        "task": "digits",
        "seed": 1,
        "metric_error": 1 - made[1].metrics["test/accuracy"],
        "time_train_s": 0.5,
    }


def test_error_of_a_loss_is_the_loss() -> None:
    made = records(metric="loss", higher=False)
    found, _ = frame(made)
    assert found["metric_error"].tolist() == [record.metrics["test/loss"] for record in made]


def test_what_bencheval_does_not_take_is_refused() -> None:
    with pytest.raises(HarnessError, match="lower is better: test/score is none"):
        frame([replace(r, metrics={k: 40 * v for k, v in r.metrics.items()}) for r in records(metric="score")])
    twice = [
        replace(r, config=r.config | {"split": {"seed": s}}, swept_values=r.swept_values | {"split.seed": s})
        for r in records()
        for s in (0, 1)
    ]
    with pytest.raises(HarnessError, match="adam on digits has several with seed 0"):
        frame(twice)


def test_bencheval_reads_it() -> None:
    evaluator = pytest.importorskip("bencheval.evaluator").BenchmarkEvaluator(
        seed_column="seed", columns_to_agg_extra=["time_train_s"]
    )
    board = evaluator.leaderboard(frame(records())[0], include_error=True)
    assert board.index.tolist() == ["adam", "sgd"]
