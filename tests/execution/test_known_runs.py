"""Tests that cached runs are found without preparing them, and only as long as nothing has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config.composition import compose
from harness.execution import known_runs
from harness.execution.effects import NoEffectWarning
from harness.execution.known_runs import question, recall
from harness.execution.sweep.scheduler import train_all
from harness.execution.train import train
from harness.registry import catalogue
from harness.results import answer_cache
from harness.results.record import FILE, Record, read
from tests.helpers.commands import harness, python
from tests.helpers.strangers import install

TINY = ["epochs=1", "logger=[]", "diagnostic=[]"]
Launch = Callable[..., Record]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a cache of its own, and let files count that have just been written."""
    monkeypatch.setattr(answer_cache, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(known_runs, "SETTLED_NS", 0)


@pytest.fixture
def launch(workdir: Path) -> Launch:
    """Train a run as the command line does."""

    def trained(*overrides: str) -> Record:
        job = compose([*TINY, *overrides])
        return train(job, question=question([job], in_sweep=False))

    return trained


def found(*overrides: str) -> Record | None:
    job = compose([*TINY, *overrides])
    records = recall(question([job], in_sweep=False), [job])
    return None if records is None else records[0]


def test_cached_run_is_found(launch: Launch) -> None:
    assert found() is None
    record = launch()
    again = found()
    assert again is not None
    assert (again.id, again.folder, again.cached, again.metrics) == (record.id, record.folder, True, record.metrics)
    assert again.config == launch().config  # as a launch that prepares it returns it


@pytest.mark.parametrize(
    "override", ["rerun=true", "seed=1", "study=other", "metric=[f1]", "save=best", "objective=val/loss"]
)
def test_another_question_is_not_answered(override: str, launch: Launch) -> None:
    launch()
    assert found(override) is None


def test_question_of_another_order_is_answered_once_it_was_prepared(launch: Launch) -> None:
    record = launch("seed=1", "batch_size=32")
    assert found("batch_size=32", "seed=1") is None
    assert launch("batch_size=32", "seed=1").cached
    again = found("batch_size=32", "seed=1")
    assert again is not None
    assert again.id == record.id


@pytest.mark.parametrize("lost", ["record.json", "weights.pt"])
def test_run_that_has_lost_a_file_is_not_found(lost: str, launch: Launch) -> None:
    (launch().folder / lost).unlink()
    assert found() is None


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_run_that_is_not_complete_is_not_found(status: str, launch: Launch) -> None:
    path = launch().folder / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": status}))
    assert read(path.parent) is not None
    assert found() is None


def test_changed_code_is_noticed(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    launch()
    states = known_runs.sources
    monkeypatch.setattr(known_runs, "sources", lambda used: states(used) | {"harness_components": "changed"})
    assert found() is None


def test_changed_catalogue_is_noticed(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    launch()
    monkeypatch.setattr(catalogue.current(), "key", "another")
    assert found() is None


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"])
def test_changed_choice_of_devices_is_noticed(variable: str, launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    launch()
    monkeypatch.setenv(variable, "7")
    assert found() is None


def test_code_that_changed_between_two_jobs_is_not_kept(launch: Launch) -> None:
    spec_less: list[object] = []
    code = {(("model", "a"),): {"package": "1"}, (("model", "b"),): {"package": "2"}}
    known_runs.keep("key", spec_less, code)  # type: ignore[arg-type]
    assert answer_cache.recall(known_runs.FOLDER, "key", dict) is None


TABLE = "x,z,y\n" + "".join(f"{i * i / 7},{i % 7},{'ab'[i % 2]}\n" for i in range(60))


def test_changed_file_of_the_data_is_noticed(launch: Launch, workdir: Path) -> None:
    (workdir / "table.csv").write_text(TABLE)
    csv = ["data=csv", "data.path=table.csv", "data.target=y", "batch_size=16"]
    record = launch(*csv)
    again = found(*csv)
    assert again is not None
    assert again.id == record.id
    (workdir / "table.csv").write_text(TABLE.replace(",6,b", ",6,a", 1))
    os.utime(workdir / "table.csv", ns=(0, 0))
    assert found(*csv) is None


def test_file_that_has_just_been_written_is_not_relied_on(
    launch: Launch, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workdir / "table.csv").write_text(TABLE)
    monkeypatch.setattr(known_runs, "SETTLED_NS", 10**12)
    job = compose(["data=csv", "data.path=table.csv", "data.target=y"])
    assert question([job], in_sweep=False) is None


def test_data_that_does_not_say_what_it_reads_is_loaded(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    traits = catalogue.current().get("data", "digits")["traits"]
    monkeypatch.delitem(traits, "reads")
    launch()
    assert found() is None


def test_launch_with_a_warning_gives_it_again(launch: Launch) -> None:
    with pytest.warns(NoEffectWarning):
        launch("model=sklearn_svc", "loss=cross_entropy")
    assert found("model=sklearn_svc", "loss=cross_entropy") is None


def test_sweep_is_found_as_a_whole(workdir: Path) -> None:
    jobs = [compose([*TINY, f"seed={seed}"]) for seed in range(3)]
    trained = train_all(jobs, question=question(jobs, in_sweep=True))
    again = recall(question(jobs, in_sweep=True), jobs)
    assert again is not None
    assert [record.id for record in again] == [record.id for record in trained]
    assert recall(question(jobs[:2], in_sweep=True), jobs[:2]) is None
    (trained[1].folder / FILE).unlink()
    assert recall(question(jobs, in_sweep=True), jobs) is None


def test_torn_answer_is_prepared_anew(launch: Launch) -> None:
    launch()
    (path,) = (answer_cache.cache_folder() / known_runs.FOLDER).iterdir()
    path.write_text('{"ids": ["../../x"]}')
    assert found() is None


SECOND = """
import sys
from harness.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    heavy = ("torch", "pytorch_lightning", "torchmetrics", "sklearn", "pandas", "scipy.stats", "tensorboard",
             "harness_components", "harness_sklearn", "harness_pytorch_optimizer")
    print(stop.code or 0, *[name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize("line", [[], ["-m", "seed=0,1"]])
def test_second_command_answers_without_torch(line: list[str], workdir: Path) -> None:
    words = [*line, *TINY, "study=twice"]
    first = harness(*words, cwd=workdir, PYTHONDONTWRITEBYTECODE="")
    second = python(SECOND, *words, cwd=workdir)
    assert second.splitlines()[-1] == "0"
    assert "already" in second
    shown = [text for text in first.stdout.splitlines() if "test " in text]
    assert shown == [text for text in second.splitlines() if "test " in text]


def test_edit_of_a_plugin_or_its_helper_is_noticed(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, checkout = workdir / "site", workdir / "checkout"
    site.mkdir()
    checkout.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    (helper := checkout / "bent_helper.py").write_text("SLOPE = 0.1\n")
    plugin = install(
        site,
        "bent",
        """
        import torch
        from bent_helper import SLOPE

        @harness.activation
        def bent(x):
            return torch.where(x > 0, x, SLOPE * x)
        """,
        offers="bent",
    )
    line = [*TINY, "activation=bent"]

    def trained_now() -> bool:
        return "already" not in harness(*line, cwd=workdir, site=site).stdout

    assert trained_now()
    assert not trained_now()
    out = python(SECOND, *line, cwd=workdir, site=site).splitlines()
    assert out[-1] == "0"  # without torch
    helper.write_text("SLOPE = 0.2\n")
    assert trained_now()
    plugin.write_text(plugin.read_text().replace("x > 0", "x > 1"))
    assert trained_now()
    assert not trained_now()
