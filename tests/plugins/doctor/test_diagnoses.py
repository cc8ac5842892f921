"""Tests of the doctor's diagnoses of whole runs, of copies of the target, and of what becomes of its advice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.cli.main import dispatch
from harness_doctor import trying
from harness_doctor.diagnose import diagnose
from harness_doctor.evidence_data import copy_of
from harness_doctor.examination import Examination
from harness_doctor.finding import Evidence, Finding
from harness_doctor.summary import certain_lines
from tests.plugins.doctor.case import planted
from tests.plugins.doctor.test_rules import NOTHING, table


@pytest.fixture
def components(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the planted components."""
    with planted(tmp_path_factory.mktemp("site")):
        yield


def examined(line: str) -> tuple[harness.Record, list[Finding]]:
    """Train a run; return its record and the findings on it."""
    record = harness.run([*line.split(), "logger=[]"])
    examination = Examination()
    return record, examination.findings(record, examination.examine(record))


@pytest.mark.parametrize(
    "line",
    [
        "data=wine optimizer=sgd optimizer.lr=1e-7 epochs=5",
        "optimizer=sgd optimizer.lr=1e-6 epochs=3 seed=3",
        "data=breast_cancer optimizer.lr=1e-9 epochs=5",
    ],
)
def test_rate_that_is_decades_too_low_is_found(line: str, workdir: Path) -> None:
    _, (first, *_) = examined(line)
    assert first.trouble == "learning rate too low"
    assert first.confidence > 0.9
    (rate,) = first.tries
    assert float(rate.removeprefix("optimizer.lr=")) >= 1e-3
    assert first.outcome.endswith("without")


def test_network_that_has_not_moved_is_not_called_too_small() -> None:
    still = table(train=0.63, val=0.62)
    assert still.net is not None
    still = replace(still, net=replace(still.net, moved=1e-5, loss_start=0.7, loss_made=0.7))
    assert "hardly moved" in diagnose(still)[0].cause
    assert still.net is not None
    trained = replace(still, net=replace(still.net, moved=0.3, loss_made=0.5))
    assert "too small" in diagnose(trained)[0].cause


def test_copy_of_the_target_is_found_among_good_inputs() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 100)
    x = np.column_stack(
        [classes + 0.1 * rng.standard_normal(100), rng.standard_normal((100, 3)), rng.integers(0, 2, 100)]
    )
    assert copy_of("class", x, classes) is None
    assert copy_of("class", np.column_stack([x, 10 * classes + 1]), classes) == 5
    assert copy_of("class", np.column_stack([x, classes == 2, classes == 0]), classes) == 5  # a column of texts
    assert copy_of("class", np.column_stack([x, classes == 2]), classes) is None
    assert copy_of("class", np.column_stack([x, 1 - (classes == 2)]), classes == 2) == 5
    rare = (np.arange(100) == 7).astype(int)  # one sample is told from the others by many inputs
    assert copy_of("class", np.column_stack([x, rare]), rare) is None
    y = x[:, 1:2] + x[:, 2:3]
    assert copy_of("real", x, y) is None
    assert copy_of("real", np.column_stack([x, 2 - 3 * y]), y) == 5
    assert copy_of("real", np.column_stack([x, y + 0.01 * x[:, :1]]), y) is None


def test_copy_of_the_target_is_named(workdir: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3))
    rows = [f"{a},{b},{c},{'ja' if a + b > 0 else 'nein'},{5 * (a + b > 0) + 3}" for a, b, c in x]
    (workdir / "t.csv").write_text("\n".join(["a,b,c,cls,code", *rows]))
    _, (first, *_) = examined("data=csv data.path=t.csv data.target=cls epochs=3")
    assert first.trouble == "target among the inputs"
    assert first.confidence > 0.9
    assert first.cause.startswith("code is the target")


def test_honest_data_has_no_copy_of_the_target(workdir: Path) -> None:
    from harness.config.composition import compose
    from harness.datasets.loading import load
    from harness_doctor.evidence_data import look

    for name in ("iris", "wine", "breast_cancer", "diabetes", "delay"):
        assert not look(load(compose([f"data={name}"]).values).dataset, 0, 64).copied, name


def test_blocked_gradient_is_blamed_on_the_activation(components: None) -> None:
    record, (first, *_) = examined("activation=outside data=iris epochs=5")
    assert first.trouble == "disconnected parameters"
    assert first.tries == ("activation=relu",)
    assert "activation outside at hidden.layer0" in first.cause
    (line,) = certain_lines(record)
    assert "try" not in line  # files do not show which component it is
    assert "a component detaches" in line


def test_model_is_blamed_if_it_detaches(components: None) -> None:
    _, (first, *_) = examined("model=detached data=iris epochs=5")
    assert (first.trouble, first.tries) == ("disconnected parameters", ("model=auto",))


def test_ascent_is_not_given_another_rate(components: None) -> None:
    _, (first, *_) = examined("optimizer=ascent data=iris epochs=10")
    assert first.trouble == "loss rises at every learning rate"
    assert first.tries == ()
    assert "harness check optimizer/ascent" in first.cause


def test_rate_too_high_is_not_called_ascent(workdir: Path) -> None:
    _, (first, *_) = examined("optimizer=sgd optimizer.lr=1000 data=iris epochs=10")
    assert first.trouble == "learning rate too high"


def test_unhelped_overfitting_is_a_hint_with_all_trials(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = harness.run(["data=iris", "epochs=1", "logger=[]"])
    examination = Examination()
    seen = examination.examine(record)
    told = iter(["0.4, 0.3 without", "0.3, 0.3 without"])
    monkeypatch.setattr(trying._Trial, "of", lambda *args: trying.Outcome(False, next(told)))
    over = Finding("overfitting", 0.9, (), "why", ("regularizer=[dropout]",), (("regularizer=[weight_decay]",),))
    (hint,) = trying.tried(record, seen, [over], examination.loader)
    assert hint.confidence < 0.5
    assert hint.outcome == "regularizer=[dropout]: 0.4, 0.3 without\nregularizer=[weight_decay]: 0.3, 0.3 without"


def test_settings_of_the_run_are_no_advice(workdir: Path) -> None:
    record = harness.run(["data=iris", "epochs=1", "logger=[]"])
    loader = Examination().loader
    assert not trying.changes(record, ("model=auto",), loader)
    assert not trying.changes(record, ("loss=auto", "epochs=1"), loader)
    assert trying.changes(record, ("model=mlp", "model.width=64"), loader)


def test_memory_for_parameters_asks_for_a_smaller_model(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = harness.run(["data=iris", "epochs=1", "batch_size=16", "model=mlp", "model.width=10000000", "study=s"])
    assert record.status == "failed"
    for command in (["doctor", "s"], ["doctor", "s", "--quick"]):
        assert dispatch(command) == 0
        text = capsys.readouterr().out
        assert "try   model=mlp model.width=128" in text
        assert "nan" not in text


def test_memory_for_a_batch_asks_for_a_smaller_batch() -> None:
    config = NOTHING.config | {"model": {"_component_": "mlp", "width": 512, "depth": 2}}
    parts = {"parameters": 10, "gradients": 10, "optimizer": 20, "activations": 1000}
    error = {"type": "OutOfMemoryError", "message": "CUDA out of memory"}
    counts = {"train": 100, "parameters": 10}
    seen = replace(NOTHING, config=config, status="failed", error=error, memory={"parts": parts}, counts=counts)
    assert diagnose(seen)[0].tries == ("batch_size=16", "accumulate=4")
    large = replace(seen, memory={"parts": parts | {"optimizer": 2000}})
    assert diagnose(large)[0].tries == ("model=mlp", "model.width=128")
    usual = replace(large, config=config | {"model": config["model"] | {"width": 128}})
    assert diagnose(usual)[0].tries == ("model=mlp", "model.width=32")
    one = replace(seen, config=config | {"batch_size": 1})
    assert diagnose(one)[0].tries == ()  # no batch is smaller


def test_unknown_numbers_are_no_evidence() -> None:
    error = {"type": "OutOfMemoryError", "message": "CUDA out of memory"}
    (first,) = diagnose(replace(NOTHING, status="failed", error=error))
    assert first.evidence == (Evidence("samples in a batch", 64.0),)
    assert not any(math.isnan(one.value) for one in first.evidence)
