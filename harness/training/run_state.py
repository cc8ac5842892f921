"""The state of a run while it is trained: its history, its best values, and the reason why it ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from harness.modeling.regularizer import Regularizer, having
from harness.system.errors import reraise_interrupt
from harness.training.run_callback import RunCallback

_CHECKPOINTED = (
    "history", "observations", "metrics", "best", "best_weights", "epochs", "steps", "steps_made", "last_finite_loss",
    "fit_s", "share_s",
)  # fmt: skip
Directions = dict[str, bool]  # metric: whether higher is better


@dataclass
class RunState:
    """State of one run while it is trained.

    Attributes:
        regularizers: The run's regularizers.
        directions: Metrics that declare a direction by name, without their split; True if higher is better.
        keep_best: The metric whose best weights are kept; None if only the last are.
        callbacks: Callbacks of the run.
        history: Metrics of each epoch.
        observations: Numbers that diagnostics measured, each time with the step and the epoch; kept for checkpoints.
        metrics: The latest metrics; the final ones when the run has ended.
        best: The best value and its epoch (from 0) of each metric of validation, and of metrics measured once.
        best_weights: The weights of the best epoch of `keep_best`.
        diverged: The record's error if the training loss, or a loss of the final evaluation, is not finite, else None.
        epochs: Completed epochs.
        steps: Optimizer steps up to the latest metrics.
        steps_made: Optimizer steps, with those of an epoch that did not end.
        regularizer_names: Names of the regularizers in the config; empty if they are not from a config.
        stopped: True if a regularizer ended training.
        stopped_by: The setting that ended training before its plan, if any.
        failed: The exception that fails this run, and not the other runs of its cohort.
        failed_optimizer_runs: How many runs the optimizer that raised `failed` steps; 0 if no optimizer raised it.
        last_finite_loss: The last training loss that was finite.
        fit_s: Seconds of training of the whole cohort, without the start of processes and without testing.
        share_s: This run's share of `fit_s`.
        weights: The final weights as they are evaluated, on the CPU; None if there are none.
        diagnostics: For each diagnostic its interval, number of measurements and cost, or why it failed.
        plain_because: Why no step was replayed from a recording; empty if one was.
        save_checkpoint: Write a checkpoint; None if the run writes none.
    """

    regularizers: list[Regularizer]
    directions: Directions
    keep_best: str | None = None
    callbacks: list[RunCallback] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    observations: list[tuple[dict[str, float], int, int]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, dict[str, Any]] = field(default_factory=dict)
    best_weights: dict[str, Tensor] | None = None
    diverged: dict[str, Any] | None = None
    epochs: int = 0
    steps: int = 0
    steps_made: int = 0
    regularizer_names: list[str] = field(default_factory=list)
    stopped: bool = False
    stopped_by: str | None = None
    failed: BaseException | None = None
    failed_optimizer_runs: int = 0
    last_finite_loss: float | None = None
    fit_s: float = 0.0
    share_s: float = 0.0
    weights: dict[str, Tensor] | None = None
    diagnostics: dict[str, dict[str, Any]] = field(default_factory=dict)
    plain_because: str = "it made no step"
    save_checkpoint: Callable[[dict[str, Any]], None] | None = None

    def __post_init__(self) -> None:
        for regularizer in self.regularizers:
            regularizer.higher_is_better = self.higher_is_better(regularizer.watch)
        self.stoppers = having(self.regularizers, "should_stop")
        keepers = [r for r in self.regularizers if r.keep == "best"]
        self.restore_best = keepers[0].watch if keepers else None
        self.keep_best = self.restore_best or self.keep_best

    def record_losses(self, losses: list[float], step_of: Callable[[int], int]) -> bool:
        """Record the losses of consecutive batches; the run has diverged at the first that is not finite.

        Args:
            losses: The training loss of each batch.
            step_of: Return the optimizer step of a batch, given its place in `losses`.

        Returns:
            False if a loss is not finite.
        """
        for index, loss in enumerate(losses):
            if not math.isfinite(loss):
                self.steps = step_of(index)
                self._diverge(f"the training loss became {loss} at step {self.steps}")
                self.metrics = (self.history[-1] if self.history else {}) | {"train/loss": loss}
                return False
            self.last_finite_loss = loss
        return True

    def check_final_losses(self) -> None:
        """Note that the run has diverged if a final loss is not finite, and drop its test metrics."""
        for split in ("val", "test"):
            loss = self.metrics.get(f"{split}/loss", 0.0)
            if not math.isfinite(loss):
                self._diverge(f"the {split} loss became {loss} at step {self.steps}")
                self.metrics = {name: value for name, value in self.metrics.items() if not name.startswith("test/")}

    def _diverge(self, message: str) -> None:
        self.diverged = {
            "type": "Diverged",
            "message": message,
            "traceback": None,
            "step": self.steps,
            "last_finite_loss": self.last_finite_loss,
        }

    def end_epoch(self, metrics: dict[str, float], step: int, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Record the metrics of an epoch, keep the best weights, and decide whether to stop.

        An exception of a callback or a regularizer fails this run only.

        Args:
            metrics: The metrics of the epoch.
            step: Optimizer steps so far.
            weights: Return a copy of the weights that evaluation uses.
        """
        try:
            self._end_epoch(metrics, step, weights)
        except BaseException as error:
            reraise_interrupt(error)
            self.failed = error

    def _end_epoch(self, metrics: dict[str, float], step: int, weights: Callable[[], dict[str, Tensor]]) -> None:
        epoch = self.epochs
        self.epochs, self.steps = epoch + 1, step
        self.history.append(metrics)
        self.metrics = dict(metrics)
        for name, value in metrics.items():
            if name.startswith("val/") and self.is_best(name, value):
                self.best[name] = {"value": value, "epoch": epoch}
                if name == self.keep_best:
                    self.best_weights = weights()
        for callback in self.callbacks:
            callback.on_epoch_end(metrics, step, epoch)
        for regularizer in self.stoppers:
            if regularizer.should_stop(self.history):
                self.stopped = True
                self.stopped_by = f"regularizer.{self.regularizer_name(regularizer)}"
                break

    def record_diagnostics(self, values: dict[str, Any], step: int, epoch: int) -> None:
        """Pass the values of diagnostics to the callbacks; an exception of a callback fails this run only.

        Args:
            values: The values by `NAME/TAG`.
            step: Optimizer steps so far.
            epoch: The epoch, counted from 0.
        """
        if self.save_checkpoint is not None:
            numbers = {tag: value for tag, value in values.items() if isinstance(value, float)}
            self.observations.append((numbers, step, epoch))
        try:
            for callback in self.callbacks:
                callback.on_diagnostics(values, step, epoch)
        except BaseException as error:
            reraise_interrupt(error)
            self.failed = error

    def record_final(self, name: str, value: float) -> None:
        """Record a metric that is measured once, at the end; it is its own best value."""
        self.metrics[name] = value
        self.best[name] = {"value": value, "epoch": max(0, self.epochs - 1)}

    def finish(self, weights: dict[str, Tensor] | None) -> None:
        """End the training of this run.

        Args:
            weights: The final weights; None if the run diverged or failed.
        """
        self.weights = None if weights is None else {name: t.cpu() for name, t in weights.items()}
        for callback in self.callbacks:
            callback.on_training_end(self)

    def checkpoint(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write a checkpoint if the run writes any; an exception of the writer fails this run only.

        Args:
            state: Return the state of the model, the optimizers and the schedules.
        """
        if self.save_checkpoint is None:
            return
        try:
            member = {name: getattr(self, name) for name in _CHECKPOINTED}
            self.save_checkpoint({"state": state(), "member": member})
        except BaseException as error:
            reraise_interrupt(error)
            self.failed = error

    def resume(self, member: dict[str, Any], steps: int) -> None:
        """Continue from a checkpoint; callbacks are called again for the epochs that it holds.

        Args:
            member: The `member` of the checkpoint.
            steps: Optimizer steps in an epoch.
        """
        for name in _CHECKPOINTED:
            setattr(self, name, member[name])
        for epoch, metrics in enumerate(self.history):
            end = (epoch + 1) * steps
            measured = [(values, step) for values, step, at in self.observations if at == epoch]
            self._replay([(values, step) for values, step in measured if step < end], epoch)
            for callback in self.callbacks:
                callback.on_epoch_end(metrics, end, epoch)
            self._replay([(values, step) for values, step in measured if step >= end], epoch)

    def _replay(self, observations: list[tuple[dict[str, float], int]], epoch: int) -> None:
        for values, step in observations:
            for callback in self.callbacks:
                callback.on_diagnostics(values, step, epoch)

    def regularizer_name(self, regularizer: Regularizer) -> str:
        """Return a regularizer's name in the config, or that of its class."""
        place = next(i for i, other in enumerate(self.regularizers) if other is regularizer)
        return self.regularizer_names[place] if self.regularizer_names else type(regularizer).__name__

    def is_best(self, name: str, value: float) -> bool:
        """Return True if a value is finite and better than all earlier ones of its metric."""
        if not math.isfinite(value):
            return False
        if name not in self.best:
            return True
        best = self.best[name]["value"]
        return value > best if self.higher_is_better(name) else value < best

    def higher_is_better(self, name: str) -> bool:
        """Return the direction of a metric, with its split (`val/accuracy`) or without; False if it is not known."""
        return bool(self.direction(name))

    def direction(self, name: str) -> bool | None:
        """Return True if a higher value of a metric is better, False if a lower one is, None if it declares neither."""
        metric = name.rpartition("/")[2]
        return False if metric in ("loss", "eval_loss") else self.directions.get(metric)
