"""Tests of checkpoints: a resumed run is bitwise equal to one that was never stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

import harness
from harness.results import checkpoint
from harness.results.record import Record
from harness.training.lightning_module import Learner

LINE = ["model=mlp", "model.width=13", "epochs=6", "batch_size=43", "split.test=0.6", "checkpoint_every=2",
        "diagnostic=[]"]  # fmt: skip
CASES = {
    "adam, dropout, cosine": ["regularizer=[dropout,l2]", "scheduler=cosine", "warmup=0.2"],
    "batch norm, momentum": ["normalization=batch_norm", "optimizer=sgd", "optimizer.momentum=0.9"],
    "early stopping": ["regularizer=[early_stopping]", "optimizer.lr=0.05", "save=best"],
    "rmsprop, accumulation": ["optimizer=rmsprop", "accumulate=3"],
}


def same(a: Record, b: Record) -> None:
    assert a.metrics == b.metrics
    assert a.best == b.best
    assert (a.time["epochs"], a.time["steps"]) == (b.time["epochs"], b.time["steps"])
    ours, theirs = (harness.load_model(r).state_dict() for r in (a, b))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (a.folder / "curves.csv").read_text() == (b.folder / "curves.csv").read_text()


Stop = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Stop training within this context when an epoch begins, as a lost process would."""
    begin = Learner.on_train_epoch_start

    @contextmanager
    def stop(epoch: int) -> Iterator[None]:
        def stopping(self: Learner) -> None:
            if self.epoch == epoch:
                raise KeyboardInterrupt
            begin(self)

        with monkeypatch.context() as patch:
            patch.setattr(Learner, "on_train_epoch_start", stopping)
            with pytest.raises(KeyboardInterrupt):
                yield

    return stop


@pytest.mark.parametrize("path", ["alone", "fused"])
@pytest.mark.parametrize("case", CASES)
def test_resumed_run_equals_an_uninterrupted_one(case: str, path: str, workdir: Path, stop_after: Stop) -> None:
    line = [*LINE, *CASES[case], f"path={path}"]
    whole = harness.run([*line, "study=whole"])
    with stop_after(3):
        harness.run([*line, "study=cut"])
    (cut,) = harness.load("cut")
    assert cut.status == "interrupted"
    assert checkpoint.read(cut.folder, cut.id)["member"]["epochs"] == 2  # type: ignore[index]
    resumed = harness.run([*line, "study=cut", "resume=true"])
    assert resumed.status == "completed"
    assert "after epoch 2" in resumed.cohort["why"]
    same(resumed, whole)
    assert not (resumed.folder / checkpoint.FILE).exists()


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_resumed_run_keeps_earlier_diagnostics(path: str, workdir: Path, stop_after: Stop) -> None:
    line = [word for word in LINE if word != "diagnostic=[]"]
    line += [
        f"path={path}",
        "diagnostic=[weights,train_val_gap]",
        "diagnostic.weights.every=4",
        "diagnostic_budget=1000",
    ]
    whole = harness.run([*line, "study=whole"])
    with stop_after(3):
        harness.run([*line, "study=cut"])
    resumed = harness.run([*line, "study=cut", "resume=true"])
    assert "after epoch 2" in resumed.cohort["why"]
    ours, theirs = ((r.folder / "curves.csv").read_text().splitlines() for r in (resumed, whole))
    assert any(line.split(",")[2].startswith("weights/") for line in theirs)
    again = [line for line in ours if line not in theirs]  # the first step after resuming is measured too
    assert [line for line in ours if line not in again] == theirs
    assert {int(line.split(",")[0]) for line in again} <= {2 * resumed.time["steps"] // 6 + 1}


def test_members_of_a_sweep_are_resumed_together(workdir: Path, stop_after: Stop) -> None:
    line = [*LINE, "seed=1,2,3", "optimizer.lr=0.001,0.01", "path=fused", "executor=in_process"]
    whole = harness.sweep([*line, "study=whole"])
    with stop_after(5):
        harness.sweep([*line, "study=cut"])
    for a, b in zip(harness.sweep([*line, "study=cut", "resume=true"]), whole, strict=True):
        assert "after epoch 4" in a.cohort["why"]
        same(a, b)


def test_run_starts_anew_without_resume_or_with_another_path(workdir: Path, stop_after: Stop) -> None:
    line = [*LINE, "study=cut"]
    with stop_after(3):
        harness.run([*line, "path=alone"])
    assert "after epoch" not in harness.run(line).cohort["why"]
    with stop_after(3):
        harness.run([*line, "path=alone", "rerun=true"])
    with pytest.warns(UserWarning, match="its checkpoint was written under path=alone, and path=fused is set"):
        record = harness.run([*line, "resume=true", "path=fused"])
    assert record.status == "completed"
    assert "after epoch" not in record.cohort["why"]


def test_more_epochs_are_another_run(workdir: Path) -> None:
    line = ["data=moons", "data.n=300", "checkpoint_every=2"]
    four = harness.run([*line, "epochs=4"])
    with pytest.warns(UserWarning, match="resume=true: nothing to resume") as caught:
        six = harness.run([*line, "epochs=6", "resume=true"])
    assert six.status == "completed"
    assert [str(warning.message) for warning in caught] == six.warnings
    assert six.warnings == [
        "resume=true: nothing to resume, the run starts from the beginning: "
        f"run {four.folder.name} (completed) differs only in epochs, and schedules depend on epochs: it is another run"
    ]
    with pytest.warns(UserWarning, match="it has no checkpoint"):  # differs in more than epochs
        harness.run([*line, "epochs=5", "seed=1", "resume=true"])


def test_torn_checkpoint_is_reported(workdir: Path, stop_after: Stop) -> None:
    line = [*LINE, "study=cut"]
    with stop_after(3):
        harness.run(line)
    (cut,) = harness.load("cut")
    file = cut.folder / checkpoint.FILE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="its checkpoint.pt cannot be read: it is torn"):
        record = harness.run([*line, "resume=true"])
    assert record.status == "completed"
    assert "torn" in record.warnings[0]


def test_resume_without_checkpoints_is_one_warning_for_a_sweep(workdir: Path) -> None:
    line = ["data=moons", "data.n=300", "epochs=1", "seed=0,1,2", "resume=true", "executor=in_process"]
    with pytest.warns(UserWarning, match="resume=true") as caught:
        records = harness.sweep(line)
    assert [str(warning.message) for warning in caught] == [
        "resume=true: nothing to resume for 3 of 3 runs, which start from the beginning; one of them: it has no "
        "checkpoint (checkpoint_every=N writes one every N epochs)"
    ]
    assert all("it has no checkpoint" in record.warnings[0] for record in records)


def test_unusable_checkpoints_are_distinguished(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path, "x") is None
    (tmp_path / checkpoint.FILE).write_bytes(b"torn")
    with pytest.raises(checkpoint.UnusableCheckpoint, match="torn"):
        checkpoint.read(tmp_path, "x")
    checkpoint.save(tmp_path, "x", "alone", {"state": {}, "member": {"epochs": 1}})
    for peek in (False, True):
        assert checkpoint.read(tmp_path, "x", peek) is not None
        with pytest.raises(checkpoint.UnusableCheckpoint, match="of another run"):
            checkpoint.read(tmp_path, "y", peek)


def test_checkpoint_of_another_format_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT - 1)
        checkpoint.save(tmp_path, "x", "alone", {"state": {}, "member": {"epochs": 1}})
    with pytest.raises(checkpoint.UnusableCheckpoint, match="written by another version of harness"):
        checkpoint.read(tmp_path, "x")
