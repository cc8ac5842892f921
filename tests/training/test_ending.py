"""Tests of the end of training: the record says what ended it, and a component's StopIteration is a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.analysis.report.notes import sweep_notes
from harness.analysis.report.summary import run_summary
from harness.analysis.report.table import run_rows
from harness.results.record import from_json
from harness.training.ending import convert_stop_iteration
from tests.helpers.planted import planted

EXHAUSTED = '''
import os, time, torch, torchmetrics

calls = {"n": 0}


def exhausted(place):
    """Ask an empty iterator for more, in the second epoch."""
    if os.environ.get("EXHAUSTED") == place:
        calls["n"] += 1
        if calls["n"] > int(os.environ.get("EXHAUSTED_AFTER", "8")):
            how = os.environ.get("EXHAUSTED_BY", "next")
            if how == "next":
                next(iter(()))
            raise {"StopAsyncIteration": StopAsyncIteration, "GeneratorExit": GeneratorExit}[how]


@harness.loss
def ending_loss(prediction, target):
    """Cross-entropy."""
    exhausted("loss")
    return torch.nn.functional.cross_entropy(prediction, target)


class Descent(torch.optim.SGD):
    def step(self, closure=None):
        exhausted("optimizer")
        return super().step(closure)


@harness.optimizer
def ending_optimizer(params, *, lr: float = 0.1):
    """Descent."""
    return Descent(params, lr)


class Ending(harness.Regularizer):
    def penalty(self, params):
        exhausted("penalty")
        return 0.0 * sum(p.sum() for p in params.values())

    def gradient(self, grads, params, noise):
        exhausted("gradient")
        return grads

    def should_stop(self, history):
        exhausted("should_stop")
        return False


@harness.regularizer
def ending_regularizer():
    """Nothing."""
    return Ending()


@harness.augmentation
def ending_augmentation():
    """Nothing."""

    def augment(x, y, noise):
        exhausted("augmentation")
        return x, y

    return augment


class Net(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        exhausted("forward")
        return self.layer(x.flatten(1))


@harness.model
def ending_model(inputs, outputs):
    """A linear model."""
    return Net(torch.Size(inputs).numel(), outputs)


@harness.scheduler
def ending_scheduler(optimizer, total_steps):
    """Constant."""

    def factor(step):
        exhausted("scheduler")
        return 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


@harness.metric
def ending_metric(history):
    """One."""
    exhausted("metric")
    return 1.0


class Nan(torchmetrics.Metric):
    higher_is_better = True

    def update(self, prediction, target):
        time.sleep(float(os.environ.get("SLOW", "0")))

    def compute(self):
        return torch.tensor(float("nan"))


@harness.metric
def never():
    """Not a number."""
    return Nan()


class Estimator:
    def fit(self, train):
        exhausted("estimator")

    def predict(self, x):
        return torch.zeros(len(x), 10)


@harness.model(estimator=True, tasks=("classification",))
def ending_estimator(inputs, outputs):
    """Zeros."""
    return Estimator()


class Rows(torch.utils.data.Dataset):
    def __init__(self, split):
        self.split = split

    def __len__(self):
        return 96

    def __getitem__(self, index):
        if self.split == "train":
            exhausted("data")
        return torch.full((4,), index / 96), index % 2


@harness.data
def ending_data():
    """Two classes, read one by one."""
    return harness.Dataset(Rows("train"), Rows("val"), Rows("test"), "class", ("a", "b"), digest="rows")
'''
OFFERS = (
    "ending_loss, ending_optimizer, ending_regularizer, ending_augmentation, ending_model, ending_scheduler, "
    "ending_metric, never, ending_estimator, ending_data"
)
LINE = ["loss=ending_loss", "optimizer=ending_optimizer", "regularizer=[ending_regularizer]", "model=ending_model",
        "augmentation=[ending_augmentation]", "scheduler=ending_scheduler", "metric=[ending_metric]", "logger=[]",
        "diagnostic=[]", "batch_size=256"]  # fmt: skip
SMALL = ["model=mlp", "model.width=4", "batch_size=256", "logger=[]", "diagnostic=[]"]
PLACES = ["loss", "optimizer", "penalty", "gradient", "augmentation", "forward", "scheduler", "should_stop", "metric"]
UNSTACKED = ("optimizer", "fused")
SELDOM = {"should_stop": "1", "metric": "0", "estimator": "0", "data": "200"}  # calls before the extra one


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with planted(tmp_path_factory.mktemp("site"), "ending", EXHAUSTED, OFFERS):
        yield


def exhaust(patch: pytest.MonkeyPatch, place: str, by: str = "next") -> None:
    import ending

    patch.setitem(ending.calls, "n", 0)
    for name, value in {"": place, "_BY": by, "_AFTER": SELDOM.get(place, "8")}.items():
        patch.setenv(f"EXHAUSTED{name}", value)


def test_complete_run_makes_all_planned_steps(workdir: Path) -> None:
    record = harness.run([*LINE, "epochs=3"])
    assert record.status == "completed"
    assert record.steps == {"planned": 15, "made": 15}
    assert record.ended == {"reason": "epochs", "by": "epochs", "epoch": 3}
    assert record.warnings == []


# the planted optimizer counts its calls in a global, and so is never stacked
@pytest.mark.parametrize(
    ("place", "path"), [(place, path) for place in PLACES for path in ("alone", "fused") if (place, path) != UNSTACKED]
)
def test_stop_iteration_of_a_component_is_a_failure(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, place: str, path: str
) -> None:
    line = [word for word in LINE if path == "alone" or not word.startswith("optimizer=")] + [f"path={path}"]
    harness.run([*line, "epochs=1", "seed=1"])  # imports the plugin
    exhaust(monkeypatch, place)
    record = harness.run([*line, "epochs=3"])
    assert record.status == "failed"
    assert record.error is not None
    assert "StopIteration" in record.error["type"] + record.error["message"]
    assert "in exhausted" in record.error["traceback"]
    assert record.ended["reason"] == "failed"
    assert record.steps["made"] < 15 or place == "metric"


@pytest.mark.parametrize("by", ["StopAsyncIteration", "GeneratorExit"])
@pytest.mark.parametrize("place", ["forward", "metric", "should_stop"])
def test_loop_ending_exceptions_of_a_component_are_failures(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, place: str, by: str
) -> None:
    harness.run([*LINE, "epochs=1", "seed=1"])
    exhaust(monkeypatch, place, by)
    record = harness.run([*LINE, "epochs=3"])
    assert record.status == "failed"
    assert record.error is not None
    assert record.error["type"] == by


@pytest.mark.parametrize(
    ("line", "seed"),
    [
        (["model=ending_estimator"], "split.seed"),
        (["data=ending_data", "model=mlp", "batch_size=32", "transform=[]", "epochs=3"], "seed"),
    ],
)
def test_stop_iteration_of_an_estimator_or_of_data_is_a_failure(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, line: list[str], seed: str
) -> None:
    harness.run([*line, f"{seed}=1", "logger=[]", "diagnostic=[]"])
    exhaust(monkeypatch, "estimator" if "estimator" in line[0] else "data")
    record = harness.run([*line, f"{seed}=2", "logger=[]", "diagnostic=[]"])
    assert record.status == "failed"
    assert record.error is not None
    assert "a component raised StopIteration (ending.py, line" in record.error["message"]


def test_early_stopping_is_reported(workdir: Path) -> None:
    stop = ["regularizer=[early_stopping]", "regularizer.early_stopping.patience=1", "optimizer.lr=0.5"]
    record = harness.run([*SMALL, *stop, "epochs=30"])
    assert record.status == "completed"
    assert record.ended["reason"] == "early_stopping"
    assert record.ended["by"] == "regularizer.early_stopping"
    assert record.steps == {"planned": 150, "made": record.ended["epoch"] * 5}
    steps = record.steps["made"]
    assert f"  steps     {steps} of 150: regularizer.early_stopping ended it after" in run_summary(record)
    assert next(iter(run_rows([record], [])))[1] == "completed (early_stopping)"
    assert sweep_notes([record, record]) == ["  ended     before their planned steps: 2 by regularizer.early_stopping"]
    kept = from_json((record.folder / "record.json").read_text(), record.folder)
    assert (kept.ended, kept.steps) == (record.ended, record.steps)


def test_max_time_is_reported(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW", "0.3")
    record = harness.run([*SMALL, "metric=[never]", "trainer.max_time=00:00:00:01", "epochs=400"])
    assert record.status == "completed"
    assert record.ended == {"reason": "max_time", "by": "trainer.max_time", "epoch": record.time["epochs"]}
    assert 0 < record.steps["made"] < record.steps["planned"] == 2000


def test_watched_metric_that_is_never_finite_is_reported(workdir: Path) -> None:
    watch = ["regularizer=[early_stopping]", "regularizer.early_stopping.watch=val/never"]
    record = harness.run([*SMALL, "metric=[never]", *watch, "regularizer.early_stopping.patience=2", "epochs=4"])
    assert record.ended == {"reason": "early_stopping", "by": "regularizer.early_stopping", "epoch": 2}
    line = (
        "regularizer.early_stopping watched val/never, which was nan in every epoch: it could not tell a better epoch"
    )
    assert record.warnings == [line]
    assert f"  warning   {line}" in run_summary(record)
    assert line in (record.folder / "log.txt").read_text()


def test_unknown_watched_metric_is_refused(workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match="early_stopping watches 'val/acuracy', which is not measured"):
        harness.run([*SMALL, "regularizer=[early_stopping]", "regularizer.early_stopping.watch=val/acuracy"])
    assert not Path("outputs").exists()


def test_raising_passes_values_and_other_errors() -> None:
    assert convert_stop_iteration(lambda: 3)() == 3
    with pytest.raises(KeyError):
        convert_stop_iteration(lambda: {}[1])()
    with pytest.raises(RuntimeError, match=r"a component raised StopIteration \(test_ending.py, line \d+, in <lambda>"):
        convert_stop_iteration(lambda: next(iter(())))()
