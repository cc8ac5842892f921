"""Tests of callbacks of Lightning: against Lightning's own calls, and through the public functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import harness
from harness.results.record import Record
from harness.system.errors import HarnessError
from harness.testing.training import cohort, same
from harness.training.fit import Run

SMALL = ["data=iris", "model=mlp", "model.width=8", "batch_size=40", "logger=[]"]
RUN = [*SMALL, "epochs=3"]
HOOKS = [name for name in vars(pl.Callback) if name.startswith("on_") or name in ("setup", "teardown")]


class Hooks(pl.Callback):
    """Records the hooks that are called."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in HOOKS:
            self.names.append(name)
        return super().__getattribute__(name)


class Plain(pl.LightningModule):
    """A module that Lightning itself trains."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.training_step(batch, index)


def followed(callback: pl.Callback, *line: str, **options: Any) -> Run:
    """Train a run that a callback follows."""
    lines = [[*(line or RUN)]]
    return cohort(lines, change=lambda parts: parts.callbacks.update(own=callback), fused=False, **options)[0]


@pytest.mark.filterwarnings("ignore")  # of Lightning and of torch, in a plain training
def test_hooks_are_called_in_the_order_of_lightning(tmp_path: Path) -> None:
    ours, theirs = Hooks(), Hooks()
    followed(ours)
    data = TensorDataset(torch.randn(96, 4), torch.arange(96) % 3)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = pl.Trainer(
        max_epochs=3, num_sanity_val_steps=0, enable_model_summary=False, default_root_dir=tmp_path, callbacks=[theirs],
        **options,
    )  # fmt: skip
    trainer.fit(Plain(), DataLoader(data, 40), DataLoader(data, 96))
    assert ours.names == theirs.names
    assert {"on_after_backward", "on_before_optimizer_step", "on_validation_batch_end"} < set(ours.names)


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["regularizer=[dropout,weight_averaging]"],
        ["accumulate=2", "optimizer=sgd", "regularizer=[gradient_clipping]"],
        ["trainer.check_val_every_n_epoch=2"],
        ["trainer.precision=64-true", "scheduler=reduce_on_plateau"],
        ["optimizer=schedule_free"],
        ["optimizer=lbfgs", "accumulate=3"],
    ],
    ids=lambda more: ",".join(more) or "default",
)
def test_a_callback_that_only_looks_changes_no_bit(more: list[str]) -> None:
    (plain,) = cohort([[*RUN, *more]], fused=False)
    assert same(followed(pl.Callback(), *RUN, *more), plain)


class Seen(pl.Callback):
    """Keeps what Lightning shows to callbacks."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.steps: list[tuple[int, int]] = []
        self.loss_of_batch: list[float] = []
        self.gradients: list[float] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        self.loss_of_batch.append(float(nn.functional.cross_entropy(module(batch[0]), batch[1]).detach()))

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        assert trainer.optimizers == [optimizer]
        self.gradients.append(float(sum(p.grad.abs().sum() for p in module.parameters())))

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.losses.append(float(outputs["loss"]))
        self.steps.append((trainer.current_epoch, trainer.global_step))

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def test_callbacks_see_batches_gradients_metrics_and_counts() -> None:
    seen = Seen()
    run = followed(seen)
    assert seen.steps == [(epoch, epoch * 3 + step + 1) for epoch in range(3) for step in range(3)]
    assert all(value > 0 for value in seen.gradients)
    torch.testing.assert_close(seen.losses, seen.loss_of_batch, rtol=1e-5, atol=1e-7)
    for row, metrics in zip(run.state.history, seen.metrics, strict=True):
        for name in ("val/loss", "val/accuracy"):
            assert metrics[name] == pytest.approx(row[name], rel=1e-6, abs=1e-7)


class NoGradient(pl.Callback):
    def on_after_backward(self, trainer: Any, module: Any) -> None:
        for p in module.parameters():
            p.grad = torch.zeros_like(p)


def test_changed_gradients_are_those_of_the_step() -> None:
    start: dict[str, torch.Tensor] = {}

    def change(parts: Any) -> None:
        start.update({name: p.detach().clone() for name, p in parts.model.named_parameters()})
        parts.callbacks["own"] = NoGradient()

    (run,) = cohort([[*RUN, "optimizer=sgd"]], change=change, fused=False)
    assert run.state.weights is not None
    assert all(torch.equal(run.state.weights[name], value) for name, value in start.items())


class StopAt(pl.Callback):
    """Stops training after a number of batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.left -= 1
        trainer.should_stop = self.left <= 0


def test_a_callback_may_stop_within_an_epoch() -> None:
    state = followed(StopAt(5)).state
    assert (state.steps_made, state.epochs, state.stopped_by, state.failed) == (5, 1, "callback.own", None)
    assert "val/loss" in state.metrics


class Broken(pl.Callback):
    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        raise StopIteration


def test_a_callback_that_ends_an_epoch_early_fails_the_run() -> None:
    assert "training ended after 0 of 9 steps" in str(followed(Broken()).state.failed)


def test_early_stopping_and_checkpoints_of_lightning(workdir: Path) -> None:
    chosen = "callback=[lightning_early_stopping,lightning_model_checkpoint,lightning_learning_rate_monitor]"
    rule = ["callback.lightning_early_stopping.stopping_threshold=100", "study=stopped"]
    record = harness.run([*RUN, chosen, *rule])
    assert record.status == "completed"
    assert record.ended == {"reason": "early_stopping", "by": "callback", "epoch": 1}
    assert record.cohort["why"].endswith("follow each step of one run")
    assert record.cohort["steps_why"] == "callbacks follow each step"
    (checkpoint,) = record.folder.glob("checkpoints/*.ckpt")
    assert checkpoint.name == "epoch=0-step=3.ckpt"


def test_what_callbacks_log_is_in_the_curves(workdir: Path) -> None:
    monitor = [
        "callback=[lightning_learning_rate_monitor]",
        "callback.lightning_learning_rate_monitor.logging_interval=epoch",
    ]
    record = harness.run([*RUN, *monitor])
    assert "callback/lr-Adam" in (record.folder / "curves.csv").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            ["callback.lightning_early_stopping.monitor=val/acuracy"],
            "monitors 'val/acuracy', which is not measured. Did",
        ),
        (["callback.lightning_early_stopping.mode=up"], "callback.lightning_early_stopping.mode must be"),
        (
            ["model=random_forest"],
            "is fitted at once, without steps: it cannot use callback=[lightning_early_stopping]",
        ),
        (["trainer.devices=2", "trainer.accelerator=cpu"], "follows a run in one process, and this run has 2"),
    ],
)
def test_refused_in_one_line(workdir: Path, line: list[str], message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        harness.run(["data=iris", "callback=[lightning_early_stopping]", *line])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (workdir / "outputs").exists()


def test_runs_of_a_sweep_train_alone_and_say_why(workdir: Path) -> None:
    line = [*RUN, "callback=[lightning_early_stopping]", "seed=0,1", "study=swept"]
    records = harness.sweep(line)
    assert [record.cohort["path"] for record in records] == ["alone", "alone"]
    assert all("callback lightning_early_stopping follows each step" in record.cohort["why"] for record in records)


class Interrupt(harness.RunCallback):
    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


def test_a_resumed_run_continues_with_its_callbacks(workdir: Path) -> None:
    chosen = ["callback=[lightning_early_stopping]", "callback.lightning_early_stopping.patience=2"]
    rule = ["callback.lightning_early_stopping.min_delta=1"]  # waits from the first epoch on: stops after epoch 3
    line = [*SMALL, "epochs=6", *chosen, *rule, "checkpoint_every=1"]
    whole = harness.run([*line, "study=whole"])
    assert whole.ended["epoch"] == 3
    with pytest.raises(KeyboardInterrupt):
        harness.run([*line, "study=resumed"], callbacks=[Interrupt()])
    resumed = harness.run([*line, "study=resumed", "resume=true"])
    assert resumed.cohort["why"].startswith("goes on after epoch 1")
    assert _outcome(resumed) == _outcome(whole)


def _outcome(record: Record) -> tuple[Any, ...]:
    return record.id, record.metrics, record.ended, record.steps
