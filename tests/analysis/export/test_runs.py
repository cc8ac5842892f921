"""Tests of the export to other tools: equal values are read back with their own APIs, and each run is there once."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.analysis.export.runs import Counts, Run, export, project
from harness.analysis.export.to_mlflow import _name
from harness.cli import main
from harness.results.record import Record, write
from harness.system.errors import HarnessError
from tests.helpers import commands
from tests.helpers.saved import small

pytestmark = pytest.mark.filterwarnings("ignore")  # of the tools
TOOLS = ("mlflow", "wandb", "trackio")
Values = dict[str, float]
STOPPED = """
import os, sys
from harness.analysis.export.runs import Run
from harness.cli import main
curves, calls = Run.curves, []
def stop(run):
    calls.append(run)
    return curves(run) if len(calls) < 3 else os._exit(9)
Run.curves = stop
main(["export", "ab", "--to", sys.argv[1]])
"""


@pytest.fixture
def study(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Six runs: one diverged with metrics that are not finite, one failed; and the settings of the tools."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workdir}/mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(workdir))
    monkeypatch.setenv("TRACKIO_DIR", str(workdir / "trackio"))
    records = small(workdir / "outputs" / "ab")
    diverged = {"status": "diverged", "metrics": {"val/loss": math.nan, "val/accuracy": 0.1}}
    write(replace(records[1], **diverged), durable=False)  # type: ignore[arg-type]
    write(replace(records[2], status="failed", metrics={}, error={"type": "ValueError"}), durable=False)
    return list(harness.load("ab"))


def needs(tool: str) -> None:
    """Skip a test if a tool is not installed."""
    for module in {"mlflow": ("mlflow", "sqlalchemy")}.get(tool, (tool,)):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def read_mlflow() -> Iterator[tuple[str, str, Values, list[tuple[int, float]], dict[str, str]]]:
    """Yield ID, status, results, curve of val/loss and parameters of each run, as MLflow's client returns them."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("ab")
    for run in client.search_runs([experiment.experiment_id]):
        history = client.get_metric_history(run.info.run_id, "val/loss")
        curve = sorted((m.step, m.value) for m in history if m.timestamp == run.info.start_time)
        yield run.data.tags["harness.id"], run.data.tags["harness.status"], run.data.metrics, curve, run.data.params


def read_wandb() -> Iterator[tuple[str, str, Values, list[tuple[int, float]], dict[str, str]]]:
    """Yield the same from wandb's offline folders, whose records are parsed by its own protocol."""
    from wandb.proto import wandb_internal_pb2

    for file in sorted(Path("wandb").glob("offline-run-*/*.wandb")):
        parts: dict[str, list[Any]] = {}
        for content in log_records(file.read_bytes()[7:], 7):
            record = wandb_internal_pb2.Record.FromString(content)
            parts.setdefault(record.WhichOneof("record_type"), []).append(record)
        (run,) = parts["run"]
        config = {item.key: json.loads(item.value_json) for item in run.run.config.update}
        rows = [item(r.history.item) for r in parts["history"]]
        results, curve = split([(row["_step"], row) for row in rows])
        assert run.run.run_id.startswith(config["harness"]["id"])
        assert len(parts["exit"]) == 1
        params = {key: str(value) for key, value in config.items() if not key.startswith(("_", "harness"))}
        yield config["harness"]["id"], config["harness"]["status"], results, curve, params


def split(rows: list[tuple[int, dict[str, Any]]]) -> tuple[Values, list[tuple[int, float]]]:
    """Return the last value of each metric, and the curve of val/loss without the results behind it."""
    results = {key: float(value) for _, row in rows for key, value in row.items() if "/" in key}
    return results, [(step, row["val/loss"]) for step, row in rows if step <= 4]


def item(entries: Any) -> dict[str, Any]:
    return {entry.key or "/".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}


def log_records(content: bytes, place: int) -> Iterator[bytes]:
    """Yield the records of LevelDB's log format: blocks of 32 KiB, and parts with checksum, length and type."""
    record, at = b"", 0
    while at < len(content):
        if 32768 - (at + place) % 32768 < 7:
            at += 32768 - (at + place) % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def read_trackio() -> Iterator[tuple[str, str, Values, list[tuple[int, float]], dict[str, str]]]:
    """Yield the same from Trackio's storage."""
    import trackio

    from harness._compat.trackio import read_run

    for run in trackio.Api().runs("ab"):
        results, curve = split([(row["step"], row) for row in read_run("ab", run.name, run.id)])
        about = run.config["harness"]
        params = {k: str(v) for k, v in run.config.items() if not k.startswith(("_", "harness"))}
        yield about["id"], about["status"], results, curve, params


READERS: dict[str, Callable[[], Iterator[Any]]] = {
    "mlflow": read_mlflow,
    "wandb": read_wandb,
    "trackio": read_trackio,
}


def texts(metrics: Values) -> dict[str, str]:
    """Return metrics as text, in which nan is equal to nan."""
    return {name: repr(float(value)) for name, value in metrics.items()}


@pytest.mark.parametrize("tool", TOOLS)
def test_equal_values_are_read_back_and_each_run_is_there_once(tool: str, study: list[Record], workdir: Path) -> None:
    needs(tool)
    done = commands.harness("export", "ab", "--to", tool, cwd=workdir)
    assert done.stdout.endswith("): 6 runs added\n")
    assert done.stdout.startswith(f"{tool} (")
    again = commands.harness("export", "outputs/ab", "--to", tool, cwd=workdir)
    assert again.stdout.endswith("): 0 runs added, 6 there already\n")
    found = {id: rest for id, *rest in READERS[tool]()}
    assert len(list(READERS[tool]())) == len(found) == 6
    for record in study:
        status, results, curve, params = found[record.id]
        assert status == record.status
        assert curve == [(step, 1 / (int(record.id, 16) + step)) for step in range(1, 5)]
        assert texts(record.metrics).items() <= texts(results).items()
        assert params["optimizer"] == record.choices["optimizer"]
        assert params["split.seed"] == str(record.config["split"]["seed"])


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_killed_export_is_completed_by_the_next(tool: str, study: list[Record], workdir: Path) -> None:
    needs(tool)
    killed = subprocess.run(
        [sys.executable, "-c", STOPPED, tool], cwd=workdir, env=commands.environment(), capture_output=True, check=False
    )
    assert killed.returncode == 9, killed.stderr
    done = commands.harness("export", "ab", "--to", tool, cwd=workdir)
    assert done.stdout.endswith("): 4 runs added, 2 there already\n")
    found = list(READERS[tool]())
    assert sorted(id for id, *_ in found) == sorted(record.id for record in study)
    assert {len(curve) for _, _, _, curve, _ in found} == {4}


@pytest.mark.parametrize("tool", TOOLS)
def test_missing_tool_is_one_line(
    tool: str, study: list[Record], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(SystemExit) as stop:
        main(["export", "ab", "--to", tool])
    assert stop.value.code == 2
    needed = f"harness: error: --to {tool} needs {tool}: pip install 'dl-harness[{tool}]'\n"
    assert capsys.readouterr() == ("", needed)


def test_store_that_cannot_be_opened_is_one_line(study: list[Record], workdir: Path) -> None:
    needs("mlflow")
    (workdir / "file").write_text("")
    uri = f"sqlite:///{workdir}/file/x.db"
    done = commands.harness("export", "ab", "--to", "mlflow", cwd=workdir, status=2, MLFLOW_TRACKING_URI=uri)
    assert done.stderr.splitlines()[-1].startswith("harness: error: MLflow: ")


def test_disabled_wandb_is_refused(study: list[Record], workdir: Path) -> None:
    needs("wandb")
    done = commands.harness("export", "ab", "--to", "wandb", cwd=workdir, status=2, WANDB_MODE="disabled")
    assert done.stderr == "harness: error: WANDB_MODE=disabled: expected online or offline\n"


class Kept:
    """A tool that keeps the keys of its runs."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def keys(self) -> set[str]:
        return {run.key for run in self.runs}

    def add(self, run: Run) -> None:
        self.runs.append(run)


def test_run_that_was_trained_again_is_added_and_one_in_training_left_out(study: list[Record]) -> None:
    tool = Kept()
    assert export([*study[:3], replace(study[3], status="running")], tool, "x") == Counts(3, 0, 1)
    changed = replace(study[0], metrics={"val/loss": 1.0})
    counts = export([changed, *study[1:4]], tool, "x")
    assert counts == Counts(2, 2, 0)
    assert str(counts) == "2 runs added, 2 there already"
    assert [run.key[:12] for run in tool.runs].count(study[0].id) == 2


def test_results_are_the_last_values_of_the_rows(study: list[Record]) -> None:
    record = replace(study[0], metrics={"test/loss": 0.5})
    curves = Run(record, "").curves()
    assert Run(record, "").rows() == [*curves[:-1], (4, curves[-1][1] | {"test/loss": 0.5})]
    other = replace(record, metrics={"val/loss": 0.125})  # of other weights than the last
    assert Run(other, "").rows() == [*curves, (5, {"val/loss": 0.125})]
    longer = replace(record, steps={"made": 9})
    assert Run(longer, "").rows() == [*curves, (9, {"test/loss": 0.5})]
    assert Run(replace(record, folder=Path("none")), "").rows() == [(0, {"test/loss": 0.5})]


def test_settings_are_those_that_change_the_result(study: list[Record]) -> None:
    record = replace(study[0], config=study[0].config | {"jobs": 3, "study": "ab"})
    assert Run(record, "").settings == {
        "data": "digits", "optimizer": "adam", "activation": "relu", "regularizer": [], "seed": 0, "split.seed": 0,
        "epochs": 5,
    }  # fmt: skip


def test_names_are_those_that_the_tools_allow() -> None:
    assert project("a/b c") == "a-b-c"
    assert project("") == "study"
    assert [_name(name) for name in ("val/loss", "/x", "a//b", "../x", "w[0]")] == [
        "val/loss", "_/x", "a/_/b", "_/x", "w_0_"
    ]  # fmt: skip


def test_study_without_runs_is_refused(workdir: Path) -> None:
    Path("outputs/empty").mkdir(parents=True)
    with pytest.raises(SystemExit) as stop:
        main(["export", "empty", "--to", "mlflow"])
    assert isinstance(stop.value.__context__, HarnessError)
    assert stop.value.code == 2
