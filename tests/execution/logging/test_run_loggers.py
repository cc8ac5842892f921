"""Tests of the calls that a run makes to its loggers, by the methods that they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution import run_recorder
from harness.execution.logging.run_loggers import config_text, hyperparameters, summary_text
from harness.results.record import Record

_WITHOUT_TAGS = {"log_hyperparams", "log_graph", "log_metrics", "finalize"}
QUICK = ["epochs=1", "batch_size=200"]


class RecordingLogger:
    """Logger that records every call to a method that it has."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.calls.append(("log_metrics", metrics))

    def finalize(self, status: str) -> None:
        self.calls.append(("finalize", status))


class FullLogger(RecordingLogger):
    """Logger with all methods."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("log_"):
            raise AttributeError(name)
        return lambda *given: self.calls.append((name, given))


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> RecordingLogger:
    """Replace every logger by one that records its calls."""
    loggers: RecordingLogger = getattr(request, "param", FullLogger)()
    real = run_recorder.component

    def component(kind: str, node: Any, **offers: Any) -> Any:
        return loggers if kind == "logger" else real(kind, node, **offers)

    monkeypatch.setattr(run_recorder, "component", component)
    return loggers


def test_run_logs_settings_first_and_finalizes_last(logger: RecordingLogger, workdir: Path) -> None:
    record = harness.run([*QUICK, "optimizer.lr=0.02"])
    names = [name for name, _ in logger.calls]
    assert names[:3] == ["log_hyperparams", "log_text", "log_graph"]
    assert logger.calls[0][1][0]["optimizer.lr"] == 0.02
    assert names[-2:] == ["log_text", "finalize"]
    assert logger.calls[-1] == ("finalize", "success")
    assert "**completed** after 1 epochs" in logger.calls[-2][1][1]
    assert f"| accuracy |  | {record.metrics['val/accuracy']:.4f} |" in logger.calls[-2][1][1]
    tags = {name: {kind[0] for n, kind in logger.calls if n == name} for name in set(names) - _WITHOUT_TAGS}
    assert tags["log_histogram"] == {f"weights/{w}" for w in harness.load_model(record.folder).state_dict()}
    assert tags["log_image"] == {f"pictures/{p}" for p in ("inputs", "filters", "confusion_matrix", "misclassified")}
    assert tags["log_pr_curve"] == {f"pr_curves/{digit}" for digit in range(10)}
    assert tags["log_embedding"] == {"features"}
    assert tags["log_text"] == {"config", "misclassified", "summary"}


@pytest.mark.parametrize("logger", [RecordingLogger], indirect=True)
def test_logger_of_numbers_gets_numbers_only(logger: RecordingLogger, workdir: Path) -> None:
    record = harness.run([*QUICK, "diagnostic=[]"])
    assert [name for name, _ in logger.calls] == ["log_metrics", "log_metrics", "finalize"]
    logged = {k: v for _, metrics in logger.calls[:2] for k, v in metrics.items() if k != "train/lr"}
    assert logged == record.metrics


@pytest.mark.parametrize("trouble", ["failed", "diverged"])
def test_failed_or_diverged_run_is_finalized_as_failed(
    trouble: str, logger: RecordingLogger, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: Any) -> None:
        raise RuntimeError("no room for it")

    if trouble == "failed":
        monkeypatch.setattr(run_recorder, "measure_at_end", raises)
    record = harness.run([*QUICK, *(["optimizer=sgd", "optimizer.lr=1e30"] if trouble == "diverged" else [])])
    assert record.status == trouble
    assert record.error is not None
    assert record.error["message"] in logger.calls[-2][1][1]
    assert logger.calls[-1] == ("finalize", "failed")
    assert "log_pr_curve" not in dict(logger.calls)


def test_unwritable_weights_are_finalized_as_failed(
    logger: RecordingLogger, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_recorder, "save_weights", full)
    assert harness.run(QUICK).status == "interrupted"
    assert logger.calls[-1] == ("finalize", "failed")


def test_failing_visuals_are_left_out_with_a_log_line(
    logger: RecordingLogger, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: Any) -> None:
        raise TypeError("of its own kind")

    monkeypatch.setattr(logger, "log_graph", raises, raising=False)
    monkeypatch.setattr("harness.execution.logging.run_loggers.visualize", raises)
    record = harness.run(QUICK)
    assert record.status == "completed"
    log = (record.folder / "log.txt").read_text()
    assert "the graph of the model is left out: TypeError: of its own kind" in log
    assert "the visualisation of the model is left out: TypeError: of its own kind" in log


def test_hyperparameters_are_settings_that_change_the_result() -> None:
    config = {
        "seed": 3, "study": "a", "jobs": "auto", "objective": None, "split": {"seed": 0, "on_overlap": "warn"},
        "trainer": {"precision": "64-true", "accelerator": "cpu"}, "metric": {"f1": {"_component_": "f1"}},
        "optimizer": {"_component_": "adam", "lr": 0.1, "betas": [0.9, 0.99], "decay": None},
        "regularizer": {"l2": {"_component_": "l2", "strength": 1.0}}, "corruption": {},
    }  # fmt: skip
    choices: dict[str, Any] = {"optimizer": "adam", "metric": ["f1"], "regularizer": ["l2"], "corruption": []}
    logged = hyperparameters(Record("0" * 12, "x", "a", config=config, choices=choices))
    assert logged == {
        "regularizer": "[l2]", "corruption": "[]", "seed": 3, "split.seed": 0, "optimizer": "adam", "optimizer.lr": 0.1,
        "optimizer.betas": "[0.9,0.99]", "regularizer.l2.strength": 1.0, "trainer.precision": "64-true",
    }  # fmt: skip
    text = config_text(logged, ["optimizer.lr=0.1", "seed=3"])
    assert text.startswith("    harness optimizer.lr=0.1 seed=3\n")
    assert r"| optimizer | **adam** lr=0.1 betas=\[0.9,0.99\] |" in text
    assert "corruption" not in text


def test_summary_of_a_run_that_did_not_start() -> None:
    record = Record("0" * 12, "x", "a", status="failed", error={"type": "OSError", "message": "no\n disk"})
    assert summary_text(record) == "**failed**\n\nOSError: no disk"
