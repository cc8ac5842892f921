"""Tests of evaluating the training split after each epoch, and of ending a run at a value that it reaches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import harness
from harness import Record
from harness.cli import main

SMALL = ["data=digits", "corruption=[fraction]", "corruption.fraction.share=0.1", "model=mlp", "model.width=16"]
EVERY = [*SMALL, "evaluate_train=true"]


def curve(record: Record, name: str) -> list[float]:
    return [value for _, _, metric, value in harness.read_curves(record) if metric == name]


def test_values_are_those_of_the_trained_model_on_the_training_split(workdir: Path) -> None:
    record = harness.run([*EVERY, "epochs=4", "regularizer=[dropout]"])
    train = harness.load_data(record).train
    with torch.no_grad():
        logits = harness.load_model(record)(train.x)
    loss = torch.nn.functional.cross_entropy(logits, train.y)
    assert record.metrics["train/accuracy"] == pytest.approx(float((logits.argmax(1) == train.y).double().mean()))
    assert record.metrics["train/eval_loss"] == pytest.approx(float(loss), rel=1e-5, abs=1e-6)
    assert len(curve(record, "train/accuracy")) == 4


def test_values_are_equal_alone_and_in_a_stack_recorded_or_not(workdir: Path) -> None:
    runs = [*EVERY, "epochs=6"]
    stacked = harness.sweep([*runs, "seed=0,1,2", "path=fused", "recording=always", "study=stack"])
    alone = harness.sweep([*runs, "seed=0,1,2", "path=alone", "recording=never", "study=alone"])
    for a, b in zip(stacked, alone, strict=True):
        for name in ("train/accuracy", "train/eval_loss"):
            assert curve(a, name) == pytest.approx(curve(b, name), rel=1e-5, abs=1e-6)


def test_evaluating_the_training_split_does_not_change_training(workdir: Path) -> None:
    plain = harness.run([*SMALL, "epochs=3", "normalization=batch_norm"])
    record = harness.run([*EVERY, "epochs=3", "normalization=batch_norm"])
    assert record.id == plain.id
    assert curve(record, "val/loss") == curve(plain, "val/loss")
    assert "train/accuracy" not in plain.metrics
    assert harness.run([*EVERY, "epochs=3", "normalization=batch_norm"]).cached


def test_best_weights_are_evaluated_at_the_end(workdir: Path) -> None:
    stopping = ["regularizer=[early_stopping]", "optimizer.lr=0.05", "epochs=30"]
    record = harness.run([*EVERY, *stopping, "regularizer.early_stopping.patience=3"])
    best = record.best["val/loss"]["epoch"]
    assert best < record.ended["epoch"] - 1
    assert record.metrics["train/accuracy"] == curve(record, "train/accuracy")[best]


def test_tuples_of_samples_are_evaluated(workdir: Path) -> None:
    record = harness.run(["data=digits", "model=prototypical", "evaluate_train=true", "epochs=1", "diagnostic=[]"])
    assert 0 < record.metrics["train/episode_accuracy"] <= 1


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_stop_at_ends_each_run_after_the_first_epoch_that_reaches_the_value(workdir: Path, path: str) -> None:
    stopping = [
        "regularizer=[stop_at]",
        "regularizer.stop_at.value=0.8",
        "epochs=40",
        "optimizer.lr=0.01",
        f"path={path}",
    ]
    records = harness.sweep([*SMALL, *stopping, "seed=0,1"])
    for record in records:
        values = curve(record, "train/accuracy")
        assert values[-1] >= 0.8
        assert max(values[:-1]) < 0.8
        assert record.ended == {"reason": "early_stopping", "by": "regularizer.stop_at", "epoch": len(values)}
        assert record.warnings == []


def test_stop_at_watches_a_falling_loss(workdir: Path) -> None:
    stopping = ["regularizer=[stop_at]", "regularizer.stop_at.value=1.5", "regularizer.stop_at.watch=val/loss"]
    values = curve(harness.run([*SMALL, *stopping, "epochs=40", "optimizer.lr=0.01"]), "val/loss")
    assert values[-1] <= 1.5
    assert min(values[:-1]) > 1.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["regularizer=[stop_at]", "regularizer.stop_at.watch=train/acuracy"], "Did you mean 'train/accuracy'"),
        (["data=rosenbrock", "evaluate_train=true"], "is a surface: it has no samples"),
        (["regularizer=[early_stopping]", "regularizer.early_stopping.watch=train/accuracy"], "is not measured"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    words: list[str], message: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
