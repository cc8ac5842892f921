"""What a run of a cohort leaves behind while it trains: its curves, its best values, why it ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from harness.modeling.regularizer import Regularizer, having
from harness.system.errors import reraise_interrupt
from harness.training.run_callback import RunCallback

_KEPT = (
    "history", "looks", "metrics", "best", "best_weights", "epochs", "steps", "made", "last_finite_loss", "fit_s",
    "share_s",
)  # fmt: skip
Directions = dict[str, bool]  # metric: whether higher is better


@dataclass
class RunState:
    """One run of a cohort while it is trained."""

    regularizers: list[Regularizer]
    directions: Directions
    keep_best: str | None = None  # the metric whose best weights are to be kept, if any are
    callbacks: list[RunCallback] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    looks: list[tuple[dict[str, float], int, int]] = field(default_factory=list)  # (numbers, step, epoch)
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, dict[str, Any]] = field(default_factory=dict)
    best_weights: dict[str, Tensor] | None = None
    diverged: dict[str, Any] | None = None
    epochs: int = 0
    steps: int = 0
    made: int = 0  # optimizer steps, also those of an epoch that did not end
    names: list[str] = field(default_factory=list)  # of the regularizers, where the config names them
    stopped: bool = False
    stopped_by: str | None = None  # the setting that ended training before its plan
    failed: BaseException | None = None  # what went wrong for this member alone
    sharers: int = 0  # of a stack, under the optimizer that raised it; 0: it did not come from there
    last_finite_loss: float | None = None
    fit_s: float = 0.0  # training, without the start of processes and without the test
    share_s: float = 0.0  # of that, this member's share
    weights: dict[str, Tensor] | None = None  # as evaluated at the end, on the CPU
    diagnosed: dict[str, dict[str, Any]] = field(default_factory=dict)  # what each diagnostic cost
    save: Callable[[dict[str, Any]], None] | None = None  # keeps a checkpoint

    def __post_init__(self) -> None:
        for regularizer in self.regularizers:
            regularizer.higher_is_better = self.higher_is_better(regularizer.watch)
        self.stoppers = having(self.regularizers, "should_stop")
        keepers = [r for r in self.regularizers if r.keep == "best"]
        self.restore = keepers[0].watch if keepers else None
        self.keep_best = self.restore or self.keep_best

    def see(self, losses: list[float], step_of: Callable[[int], int]) -> bool:
        """Notes the losses of some batches; returns False at the first that is not finite.

        `step_of` tells the optimizer step to which one of these batches belongs.
        """
        for index, loss in enumerate(losses):
            if not math.isfinite(loss):
                self.steps = step_of(index)
                self.diverged = {
                    "type": "Diverged",
                    "message": f"the training loss became {loss} at step {self.steps}",
                    "traceback": None,
                    "step": self.steps,
                    "last_finite_loss": self.last_finite_loss,
                }
                self.metrics = (self.history[-1] if self.history else {}) | {"train/loss": loss}
                return False
            self.last_finite_loss = loss
        return True

    def end_epoch(self, metrics: dict[str, float], step: int, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Notes an epoch's metrics, keeps the best weights if asked, and decides whether to stop.

        What a callback or a regularizer raises is this member's failure, and not that of those beside it.
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
            if name.startswith("val/") and self.better(name, value):
                self.best[name] = {"value": value, "epoch": epoch}
                if name == self.keep_best:
                    self.best_weights = weights()
        for callback in self.callbacks:
            callback.on_epoch_end(metrics, step, epoch)
        for regularizer in self.stoppers:
            if regularizer.should_stop(self.history):
                self.stopped = True
                self.stopped_by = f"regularizer.{self.name(regularizer)}"
                break

    def look(self, found: dict[str, Any], step: int, epoch: int) -> None:
        """Hands on what diagnostics found after so many steps, in an epoch; what goes wrong then is this member's
        failure.
        """
        if self.save is not None:
            self.looks.append(({tag: value for tag, value in found.items() if isinstance(value, float)}, step, epoch))
        try:
            for callback in self.callbacks:
                callback.on_diagnostics(found, step, epoch)
        except BaseException as error:
            reraise_interrupt(error)
            self.failed = error

    def see_end(self, name: str, value: float) -> None:
        """Notes what is measured once: it is its own best."""
        self.metrics[name] = value
        self.best[name] = {"value": value, "epoch": max(0, self.epochs - 1)}

    def end(self, weights: dict[str, Tensor] | None) -> None:
        """The member leaves its cohort, with the weights to keep if it has any."""
        self.weights = None if weights is None else {name: t.cpu() for name, t in weights.items()}
        for callback in self.callbacks:
            callback.on_training_end(self)

    def checkpoint(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keeps all that going on from here needs; what goes wrong then is this member's failure."""
        if self.save is None:
            return
        try:
            self.save({"state": state(), "member": {name: getattr(self, name) for name in _KEPT}})
        except BaseException as error:
            reraise_interrupt(error)
            self.failed = error

    def resume(self, kept: dict[str, Any], steps: int) -> None:
        """Resume from a checkpoint; callbacks are called again for what came before. `steps` are those of an epoch."""
        for name in _KEPT:
            setattr(self, name, kept[name])
        for epoch, row in enumerate(self.history):
            own = [(found, step) for found, step, of in self.looks if of == epoch]
            self._look_again([(found, step) for found, step in own if step < (epoch + 1) * steps], epoch)
            for callback in self.callbacks:
                callback.on_epoch_end(row, (epoch + 1) * steps, epoch)
            self._look_again([(found, step) for found, step in own if step >= (epoch + 1) * steps], epoch)

    def _look_again(self, looks: list[tuple[dict[str, float], int]], epoch: int) -> None:
        for found, step in looks:
            for callback in self.callbacks:
                callback.on_diagnostics(found, step, epoch)

    def name(self, regularizer: Regularizer) -> str:
        """A regularizer's name in the config, or that of its class."""
        place = next(at for at, one in enumerate(self.regularizers) if one is regularizer)
        return self.names[place] if self.names else type(regularizer).__name__

    def better(self, name: str, value: float) -> bool:
        """Whether a value is the best so far of its metric."""
        if not math.isfinite(value):
            return False
        if name not in self.best:
            return True
        old = self.best[name]["value"]
        return value > old if self.higher_is_better(name) else value < old

    def higher_is_better(self, name: str) -> bool:
        """The direction of a metric, of a split (val/accuracy) or of none; a loss is better when it is lower."""
        return self.directions.get(name.rpartition("/")[2], False)
