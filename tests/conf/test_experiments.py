"""Tests that every experiment and preset of harness composes and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.config.composition import conf_dir

SWEEPS = ("benchmark_", "lesson_")  # prefixes of those that declare a sweep: test_benchmarks.py, test_lessons.py
FILES = (conf_dir() / "experiment").glob("*.yaml")
EXPERIMENTS = sorted(path.stem for path in FILES if not path.stem.startswith(SWEEPS))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_runs(name: str, workdir: Path) -> None:
    record = harness.run([f"experiment={name}", "epochs=1"])
    assert record.status == "completed"
    assert record.name == f"experiment={name},epochs=1"


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "trainer").glob("*.yaml")))
def test_trainer_preset_composes(name: str) -> None:
    from harness.config.composition import compose

    assert compose([f"trainer={name}"]).values["trainer"]["devices"] in ("auto", 1)


def test_experiments_are_found() -> None:
    assert EXPERIMENTS


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("digits_logistic", 0.95), ("digits_mlp", 0.97), ("digits_cnn", 0.98)])
def test_digits_experiments_reach_documented_accuracy(name: str, least: float, workdir: Path) -> None:
    records = harness.sweep([f"experiment={name}", "seed=range(0,5)", "executor=in_process"])
    assert [record.status for record in records] == ["completed"] * 5
    assert len({record.data["digest"] for record in records}) == 5  # the seed draws the split too
    assert sum(record.metrics["test/accuracy"] for record in records) / 5 >= least
