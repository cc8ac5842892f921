"""Tests that a worker refuses sources or data that differ from its launcher's, in one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import harness
from harness.config.composition import compose
from harness.execution.cohort import CohortPlan
from harness.execution.preparation import Preparation, prepare
from harness.execution.sweep import worker
from harness.execution.sweep.worker import train_item
from tests.execution.sweep.commands import Forking, until
from tests.helpers.commands import harness as command
from tests.helpers.strangers import install

LINE = ["-m", "model=mlp", "model.width=8", "epochs=1", "optimizer=helped", "path=alone", "study=stale"]
STUDY = Path("outputs/stale")
PLUGIN = """
import torch
import helper_of_helped

@harness.optimizer
def helped(params, *, lr: float = 0.1):
    \"\"\"Descent as fast as a helper says.\"\"\"
    return torch.optim.SGD(params, lr * helper_of_helped.FACTOR)
"""


def test_worker_refuses_another_identity_than_the_launchers(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = prepare(compose(["model=mlp", "epochs=1"]))
    launcher = os.getpid() + 1
    with monkeypatch.context() as patch:
        patch.setattr(Preparation, "identity", lambda self, values, asked: "other")
        with pytest.raises(harness.HarnessError, match="changed while the sweep was running"):
            train_item([spec], CohortPlan(), launcher)
    assert not Path("outputs").exists()
    (record,) = train_item([spec], CohortPlan(), launcher)
    assert record is not None
    assert record.status == "completed"


def test_code_changed_after_import_is_refused(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.execution.preparation.changed", lambda found: ["my_plugin"])
    for start in (harness.run, harness.sweep):
        with pytest.raises(harness.HarnessError, match="my_plugin changed after this process had imported it"):
            start(["model=mlp", "epochs=1", "executor=in_process"])
    assert not list(Path("outputs").rglob("record.json"))


def test_code_is_not_checked_for_each_of_many_short_runs(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(worker, "refuse_stale", lambda specs: checked.extend(s.record.name for s in specs))
    monkeypatch.setattr(worker, "train_cohort", lambda specs, plan: [])
    monkeypatch.setattr(worker, "CHECK_S", 60.0)
    specs = [prepare(compose(["data=iris", f"seed={seed}"])) for seed in range(2)]
    for sweep in ("one", "one", "two", "", ""):
        for spec in specs:
            train_item([spec], CohortPlan(sweep=sweep), os.getpid())
    first, second = (spec.record.name for spec in specs)
    assert checked == [first, first, *[first, second] * 2]  # in sweep one, in two, and always where there is none
    monkeypatch.setattr(worker, "CHECK_S", -1.0)
    train_item(specs[:1], CohortPlan(sweep="two"), os.getpid())
    assert checked[-1:] == [first]


def test_refused_code_is_refused_again(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.execution.preparation.changed", lambda found: ["my_plugin"])
    spec = prepare(compose(["data=iris"]))
    for _ in range(2):
        with pytest.raises(harness.HarnessError, match="my_plugin changed"):
            train_item([spec], CohortPlan(sweep="one"), os.getpid())


@pytest.fixture
def helper(tmp_path: Path) -> Path:
    """A helper module that a plugin imports."""
    site = tmp_path / "site"
    site.mkdir()
    code = tmp_path / "code"
    code.mkdir()
    install(site, "helped", PLUGIN, offers="helped").rename(code / "helped.py")
    (code / "helper_of_helped.py").write_text("FACTOR = 1.0\n")
    return code / "helper_of_helped.py"


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["in_process", "loky"])
def test_changed_helper_makes_another_run(tmp_path: Path, helper: Path, executor: str) -> None:
    before = filter(None, [os.environ.get("PYTHONPATH")])
    paths = {"PYTHONPATH": os.pathsep.join([str(helper.parent), str(tmp_path / "site"), *before])}
    line = [*LINE, f"executor={executor}", "seed=0,1"]
    command(*line, cwd=tmp_path, **paths)
    first = {r.id: r.metrics["train/loss"] for r in harness.load(tmp_path / STUDY)}
    helper.write_text("FACTOR = 5.0\n")
    assert "2 completed" in command(*line, cwd=tmp_path, **paths).stdout
    both = {r.id: r.metrics["train/loss"] for r in harness.load(tmp_path / STUDY)}
    assert len(both) == 4
    assert len(set(both.values())) == 4
    assert first.items() <= both.items()


def test_workers_started_after_a_change_refuse(forking: Forking, tmp_path: Path) -> None:
    line = [*LINE, "optimizer=saboteur", "executor=loky", "jobs=1", "seed=0,1", "epochs=400"]
    process = forking.start(*[word for word in line if word not in ("optimizer=helped", "epochs=1")], folder=tmp_path)
    until(lambda: list((tmp_path / STUDY).glob("*/log.txt")))  # the first run, which takes more than CHECK_S
    plugin = forking.site / "saboteur.py"
    text = plugin.read_text()
    plugin.write_text(text + "\n# changed\n")
    try:
        assert process.wait() == 2
    finally:
        plugin.write_text(text)
        os.utime(plugin, (time.time() - 60, time.time() - 60))
    assert "changed while the sweep was running" in process.errors.strip().splitlines()[-1]
    assert "1 completed" in process.output
