"""Tests of one run: its files and its record, whether it completes or fails."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import harness
from harness.modeling.weights import WEIGHTS
from harness.results.record import FILE, read
from harness.training.single import SinglePath

KEYS = {
    "schema", "id", "name", "study", "status", "error", "config", "choices", "metrics", "best", "model", "data",
    "time", "cohort", "memory", "diagnostics", "environment", "steps", "ended", "warnings", "command", "swept",
    "swept_values", "directions", "tuning",
}  # fmt: skip


def test_run_folder_is_complete(workdir: Path) -> None:
    record = harness.run(["epochs=3", "optimizer=sgd", "seed=4"])
    assert record.folder == workdir / "outputs/scratch" / f"epochs=3,optimizer=sgd,seed=4-{record.id}"
    assert record.name == "epochs=3,optimizer=sgd,seed=4"
    row = json.loads((record.folder / FILE).read_text())
    assert set(row) == KEYS
    assert row["status"] == "completed"
    assert row["error"] is None
    assert row["choices"]["optimizer"] == "sgd"
    assert row["choices"]["model"] == "mlp"  # auto is resolved
    assert row["choices"]["transform"] == ["standardize"]
    assert row["command"] == "harness epochs=3 optimizer=sgd seed=4"
    assert (row["swept"], row["swept_values"]) == ([], {})
    losses = dict.fromkeys(("train/loss", "val/loss", "test/loss"), False)
    assert row["directions"] == losses | dict.fromkeys(("val/accuracy", "test/accuracy"), True)
    assert row["config"]["objective"] == "val/accuracy"
    assert row["data"] | {"digest": ""} == {
        "name": "digits", "digest": "", "train": 1149, "val": 288, "test": 360, "overlap": 0,
        "majority": {
            "class": "3", "train": 117 / 1149, "val": 29 / 288, "test": 37 / 360,
            "classes": {"train": 10, "val": 10, "test": 10},
        },
    }  # fmt: skip
    assert row["model"] == {"parameters": 26122, "trainable": 26122}
    assert {"fit_s", "share_s", "total_s", "samples_per_s", "started"} <= set(row["time"])
    assert row["environment"]["torch"] == importlib.metadata.version("torch")  # torch.__version__ may add its build
    assert row["environment"]["plugins"]["dl-harness"] == harness.__version__
    assert re.fullmatch("[0-9a-f]{16}", row["environment"]["sources"]["harness_components"])
    assert row["environment"]["sources"]["numpy"] == f"numpy {np.__version__}"
    assert row["memory"]["peak"] > 10_000_000
    assert {p.name for p in record.folder.iterdir()} >= {".hydra", "curves.csv", "log.txt", "weights.pt"}
    assert {p.name for p in (record.folder / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert not list(record.folder.rglob("*.tmp"))
    assert read(record.folder) == record


def test_curves_events_and_record_agree(workdir: Path) -> None:
    record = harness.run(["epochs=3"])
    with open(record.folder / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"step", "epoch", "metric", "value"}
    accuracy = [(int(r["step"]), float(r["value"])) for r in rows if r["metric"] == "val/accuracy"]
    assert [step for step, _ in accuracy] == [18, 36, 54]
    assert accuracy[-1][1] == record.metrics["val/accuracy"]
    events = EventAccumulator(str(record.folder)).Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("val/accuracy")] == accuracy
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(record.metrics["test/accuracy"])
    assert record.best["val/accuracy"]["value"] == max(value for _, value in accuracy)


def test_complete_run_is_cached(workdir: Path) -> None:
    first = harness.run(["epochs=1", "seed=3"])
    stamp = (first.folder / FILE).stat().st_mtime_ns
    again = harness.run(["seed=3", "epochs=1"])  # the same run, in another order
    assert again.cached
    assert not first.cached
    assert again.id == first.id
    assert again.folder == first.folder
    assert (first.folder / FILE).stat().st_mtime_ns == stamp
    assert harness.run(["seed=3", "epochs=1", "study=other"]).cached is False


def test_rerun_gives_the_same_metrics(workdir: Path) -> None:
    first = harness.run(["epochs=2", "regularizer=[dropout]"])
    again = harness.run(["epochs=2", "regularizer=[dropout]", "rerun=true"])
    assert not again.cached
    assert again.metrics == first.metrics
    assert len(list(again.folder.glob("events*"))) == 1


def test_record_without_a_requested_metric_is_trained_again(workdir: Path) -> None:
    first = harness.run(["epochs=1"])
    more = harness.run(["epochs=1", "metric=[f1]"])
    assert more.id == first.id
    assert not more.cached
    assert more.metrics["val/accuracy"] == first.metrics["val/accuracy"]
    assert "val/f1" in more.metrics
    assert harness.run(["epochs=1"]).cached  # it holds more than requested
    assert not harness.run(["epochs=1", "metric=[f1]", "metric.f1.average=micro"]).cached


def test_split_depends_on_its_own_seed_only(workdir: Path) -> None:
    a, b, c = (harness.run(["epochs=1", *more]) for more in ([], ["seed=1"], ["split.seed=1"]))
    assert a.data == b.data
    assert a.metrics != b.metrics
    assert a.data["digest"] != c.data["digest"]


def test_diverged_run_is_a_result(workdir: Path) -> None:
    record = harness.run(["optimizer=sgd", "optimizer.lr=1e20"])
    assert record.status == "diverged"
    assert record.error is not None
    assert record.error["type"] == "Diverged"
    assert record.error["step"] >= 1
    assert record.error["last_finite_loss"] > 0
    assert json.loads((record.folder / FILE).read_text())["metrics"]["train/loss"] in ("nan", "inf")
    assert harness.run(["optimizer=sgd", "optimizer.lr=1e20"]).cached


def test_exception_in_training_is_a_failed_run(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("a stranger's mistake")

    with monkeypatch.context() as patch:
        patch.setattr("harness.training.single.SinglePath.train", broken)
        record = harness.run(["epochs=1"])
    assert record.status == "failed"
    assert record.metrics == {}
    assert record.error is not None
    assert record.error["type"] == "ZeroDivisionError"
    assert "a stranger's mistake" in record.error["traceback"]
    stored = read(record.folder)
    assert stored is not None
    assert stored.status == "failed"
    assert harness.run(["epochs=1"]).status == "completed"  # a failed run is tried again
    assert len(harness.load("scratch")) == 1


def test_model_that_cannot_be_built_is_a_failed_run(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr("harness.modeling.builder.make_model", broken)
    record = harness.run(["epochs=1"])
    assert (record.status, record.error and record.error["type"]) == ("failed", "MemoryError")


def test_interrupt_is_recorded_and_raised(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("harness.training.single.SinglePath.train", stop)
    with pytest.raises(KeyboardInterrupt):
        harness.run(["epochs=1"])
    assert harness.load("scratch")[0].status == "interrupted"
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("which", "status", "last"),
    [(signal.SIGINT, 130, "harness: interrupted"), (signal.SIGTERM, 143, "harness: ended by SIGTERM")],
)
def test_ctrl_c_and_sigterm_end_the_command_at_once(
    which: signal.Signals, status: int, last: str, workdir: Path
) -> None:
    command = [sys.executable, "-m", "harness", "epochs=100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(Path("outputs").rglob("curves.csv")) and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(which)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors.strip().splitlines()[-1] == last
    assert "Traceback" not in errors
    record = harness.load("scratch")[0]
    assert record.status == "interrupted"
    assert record.environment["python"]


def test_loaded_weights_equal_the_saved_ones(workdir: Path) -> None:
    record = harness.run(["epochs=2", "model=cnn", "normalization=batch_norm"])
    model = harness.load_model(record.folder)
    assert not model.training
    kept = torch.load(record.folder / WEIGHTS, weights_only=True)
    assert all(torch.equal(t, kept["state"][n]) for n, t in model.state_dict().items())
    x = torch.zeros(3, 1, 8, 8)
    assert model(x).shape == (3, 10)


def test_save_keeps_no_last_or_best_weights(workdir: Path) -> None:
    none = harness.run(["epochs=1", "save=none"])
    assert not (none.folder / WEIGHTS).exists()
    with pytest.raises(harness.HarnessError, match="no weights"):
        harness.load_model(none)
    # much label noise makes late epochs worse, so that best and last differ
    line = ["epochs=15", "corruption=[label_noise]", "corruption.label_noise.p=0.5", "optimizer.lr=0.01"]
    last, best = (harness.run([*line, f"save={which}", "rerun=true", f"study={which}"]) for which in ("last", "best"))
    assert last.metrics == best.metrics
    a, b = harness.load_model(last), harness.load_model(best)
    assert best.best["val/accuracy"]["epoch"] < 14
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not none.cached
    assert not harness.run(["epochs=1", "save=last"]).cached  # now the weights are requested


def test_torn_record_is_ignored_with_a_warning(workdir: Path) -> None:
    record = harness.run(["epochs=1"])
    (record.folder / FILE).write_text('{"schema": 1, "id": ')
    with pytest.warns(UserWarning, match="it is torn"):
        assert len(harness.load("scratch")) == 0
    assert not harness.run(["epochs=1"]).cached
    assert len(harness.load("scratch")) == 1


def test_environment_has_the_git_commit_of_the_working_folder(workdir: Path) -> None:
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "x", "--allow-empty"]):
        subprocess.run(["git", *words], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert harness.run(["epochs=1"]).environment["git"] == head
    assert os.getcwd() == str(workdir)


def test_exit_in_a_component_is_a_failed_run(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*args: object) -> None:
        sys.exit(3)

    for place in ("harness.training.single.SinglePath.train", "harness.modeling.builder.make_model"):
        with monkeypatch.context() as patch:
            patch.setattr(place, leave)
            record = harness.run(["epochs=1"])
        assert record.status == "failed", place
        assert record.error is not None
        assert (record.error["type"], record.error["message"]) == ("SystemExit", "3")


def test_metrics_before_a_failure_are_kept(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SinglePath.train

    def train(self: SinglePath, batches: range) -> torch.Tensor:
        if self.epoch == 2:
            raise RuntimeError("late")
        return whole(self, batches)

    monkeypatch.setattr(SinglePath, "train", train)
    record = harness.run(["epochs=5"])
    assert record.status == "failed"
    assert record.metrics["val/accuracy"] > 0.5
    assert "test/accuracy" not in record.metrics
    assert record.best["val/accuracy"]["epoch"] in (0, 1)
