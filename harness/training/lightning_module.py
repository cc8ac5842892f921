"""The LightningModule that trains a cohort of runs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from harness.training.batches import Chunk
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.diagnostics.system import Machine
from harness.training.ending import convert_stop_iteration, ended_by_timer, fail_short_training
from harness.training.plan import Plan
from harness.training.run_state import RunState


class TrainingPath(Protocol):
    """Interface of the two ways to train a cohort: one run by itself, or many runs as one program.

    A row is the place of a run in the cohort, counted from 0. A path that runs diagnostics has the attribute
    `diagnostic_runner`.
    """

    @property
    def evaluates_train(self) -> bool:
        """True if the training split is evaluated after each epoch."""
        ...

    @property
    def plain_because(self) -> str:
        """The reason why no step was replayed from a recording; empty if one was."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the samples of an epoch."""

    def train(self, batches: range) -> Tensor:
        """Train on in-memory batches of the epoch; return their losses `[batches, K]`."""
        ...

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Return loss and metrics on a split for each run, as `{"val/loss": ...}`."""
        ...

    def weights(self, row: int) -> dict[str, Tensor]:
        """Return a copy of the weights that evaluation uses."""
        ...

    def load(self, row: int, weights: dict[str, Tensor]) -> None:
        """Load weights from `weights()`; evaluation uses them as they are."""

    def lr(self, row: int) -> float:
        """Return the learning rate of the next step."""
        ...

    def end_epoch(self, metrics: list[dict[str, float]]) -> None:
        """Pass the metrics of an epoch to the schedules."""

    def keep(self, rows: list[int]) -> None:
        """Continue with these rows only."""

    def state(self, row: int) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        ...

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Continue from the states of all rows."""


class Learner(pl.LightningModule):
    """Train K >= 1 runs.

    One `training_step` is a chunk of steps if the data is in memory: Lightning's hooks cost as much as a step of a
    small network, so they are paid once per chunk. A run that diverges, stops or fails is removed, and the others
    continue.

    Args:
        model: The model whose device and precision Lightning manages; an empty module for a stack.
        states: The states of the runs, in the order of their rows.
        plan: The plan of the runs.
        make_path: Build the training path, once the weights are on their device.
        machine: Measure the speed of the epochs.
        first_epoch: The epoch to begin with, if a checkpoint is resumed.
        path_states: The states of the path in the checkpoints, one for each run; None starts from the beginning.
    """

    def __init__(
        self,
        model: nn.Module,
        states: list[RunState],
        plan: Plan,
        make_path: Callable[[pl.Trainer], TrainingPath],
        machine: Machine,
        first_epoch: int = 0,
        path_states: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.states, self.plan, self.make_path = model, list(states), plan, make_path
        self.machine, self.first_epoch, self.path_states = machine, first_epoch, path_states
        self.path: TrainingPath
        self._losses: list[Tensor] = []
        self.started = False

    def configure_optimizers(self) -> None:
        """Configure none: the path has its own."""

    def open_path(self) -> None:
        """Build the path, once the model is on its device, and restore the checkpoint."""
        self.path = self.make_path(self.trainer)
        if self.path_states is not None:
            self.path.restore(self.path_states)

    @convert_stop_iteration
    def on_train_start(self) -> None:
        self.open_path()
        self.path_states = None
        self._clock = time.perf_counter()
        self.started = True

    @property
    def epoch(self) -> int:
        """The epoch of the run, counted from 0."""
        return int(self.current_epoch)

    @property
    def _diagnostic_runner(self) -> DiagnosticRunner | None:
        runner: DiagnosticRunner | None = getattr(self.path, "diagnostic_runner", None)
        return runner

    def _count_time(self) -> None:
        """Add the time since the last call to the runs' clocks."""
        now = time.perf_counter()
        for state in self.states:
            state.fit_s += now - self._clock
            state.share_s += (now - self._clock) / len(self.states)
        self._clock = now

    @convert_stop_iteration
    def on_train_epoch_start(self) -> None:
        self.path.start_epoch(self.epoch)
        self._losses = []
        self.machine.begin()

    @convert_stop_iteration
    def training_step(self, batch: Any, batch_index: int) -> None:
        if isinstance(batch, Chunk):
            first, last = batch.first, batch.last
            losses = self.path.train(range(first, last))
        else:
            first, last = batch_index, batch_index + 1
            losses = self.path.train_on(batch_index, *batch)  # type: ignore[attr-defined]  # a single model only
        self.record_batches(first, last, losses)
        if self.states and last == self.plan.batches:
            self.end_epoch()

    def record_batches(self, first: int, last: int, losses: Tensor) -> None:
        """Record the losses `[batches, K]` of batches of this epoch; continue without the runs that have ended."""
        self._losses.append(losses)

        def step_of(index: int) -> int:
            return self.epoch * self.plan.steps + (first + index) // self.plan.accumulate

        for state, column in zip(self.states, losses.T.tolist(), strict=True):
            finite = state.record_losses(column, step_of)
            state.steps_made = step_of(last - first - 1) + 1 if finite else state.steps
        self._record_diagnostics()
        for row, (error, stepped_runs) in getattr(self.path, "failures", {}).items():  # of a stack
            state = self.states[row]
            if not state.diverged:
                state.failed, state.failed_optimizer_runs = error, stepped_runs
        self._finish([row for row, state in enumerate(self.states) if state.diverged or state.failed])

    def _record_diagnostics(self) -> None:
        """Record what diagnostics measured in the last steps, for the runs that had not diverged before."""
        runner = self._diagnostic_runner
        if runner is None:
            return
        for observation in runner.take():
            start = time.perf_counter()
            for state, values in zip(self.states, observation.rows, strict=False):  # without the padding rows
                if not state.diverged or observation.step <= state.steps:
                    state.record_diagnostics(values, observation.step + 1, self.epoch)
            runner.add_write_cost(observation, time.perf_counter() - start)

    def end_epoch(self) -> None:
        """Record the metrics of an epoch whose batches were all trained, and continue without the runs that stop."""
        losses = torch.cat(self._losses)  # [batches, K]
        self._losses = []
        sizes = torch.tensor([self.plan.size(b) for b in range(self.plan.batches)], device=losses.device)
        # each run's losses side by side in memory: the rounding of a sum over [batches, K] depends on K
        means = (losses.double().T.contiguous() * sizes).sum(1) / self.plan.n
        metrics: list[dict[str, float]] = [{} for _ in self.states]
        runner = self._diagnostic_runner
        if runner is not None and not runner.epoch_due(self.epoch - self.first_epoch):
            runner = None
        machine: dict[str, float] = {}
        cost = 0.0  # seconds of measuring the epoch and of recording the values
        if runner is not None:
            start = time.perf_counter()
            machine = self.machine.end(self.plan.n * len(self.states), losses.device)
            cost = time.perf_counter() - start
        every = self.trainer.check_val_every_n_epoch or 1
        if (self.epoch + 1) % every == 0 or self.epoch + 1 == self.plan.epochs:
            metrics = self._with_train(self.validate())
        for row, (state, mean, values) in enumerate(zip(self.states, means.tolist(), metrics, strict=True)):
            step = (self.epoch + 1) * self.plan.steps
            trained = {"train/loss": mean, "train/lr": self.path.lr(row)}
            state.end_epoch({**trained, **values}, step, functools.partial(self.path.weights, row))
            if runner is not None:
                start = time.perf_counter()
                state.record_diagnostics(runner.measure_epoch(state.history, machine), step, self.epoch)
                cost += time.perf_counter() - start
        if runner is not None:
            runner.add_epoch_cost(cost)
        self.path.end_epoch(metrics)
        self._count_time()
        done = [row for row, state in enumerate(self.states) if state.stopped or state.failed]
        if self.plan.checkpoint_every and (self.epoch + 1) % self.plan.checkpoint_every == 0:
            for row, state in enumerate(self.states):
                if row not in done and self.epoch + 1 < self.plan.epochs:
                    state.checkpoint(functools.partial(self.path.state, row))
        self._finish(done)

    def _with_train(self, metrics: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return each run's metrics with those of the training split, if it is evaluated."""
        if self.path.evaluates_train:
            for row, values in zip(metrics, self.evaluate("train"), strict=True):
                row["train/eval_loss"] = values.pop("train/loss")  # `train/loss` is measured while the weights change
                row |= values
        return metrics

    def validate(self) -> list[dict[str, float]]:
        """Return each run's metrics of validation after this epoch."""
        return self.evaluate("val")

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Return each run's metrics on a split, in the run's precision."""
        with self.trainer.precision_plugin.val_step_context():
            return self.path.evaluate(split)

    @convert_stop_iteration
    def on_train_end(self) -> None:
        """Finish the runs that are left."""
        if not (self.started and self.states):
            return
        stopped_by = self.stopped_by()
        planned = (self.trainer.fit_loop.max_epochs or 0) * self.plan.steps
        for state in self.states:
            if stopped_by and state.steps_made < planned:
                state.stopped_by = stopped_by
            fail_short_training(state, planned)
        self._finish(range(len(self.states)))

    def stopped_by(self) -> str | None:
        """Return the setting that ended training before its plan, if any."""
        return ended_by_timer(self.trainer)

    def _finish(self, rows: Iterable[int]) -> None:
        """Measure the final metrics of some runs and continue without them."""
        rows = list(rows)
        if not rows:
            return
        self._count_time()
        finishing = [row for row in rows if not self.states[row].diverged and not self.states[row].failed]
        self._final_metrics(finishing)
        for row in finishing:
            self.states[row].check_final_losses()
        runner = self._diagnostic_runner
        summary = {} if runner is None else runner.summary()
        for row in rows:
            state = self.states[row]
            state.diagnostics = dict(summary)
            state.plain_because = self.path.plain_because
            state.finish(None if state.diverged or state.failed else self.path.weights(row))
        remaining = [row for row in range(len(self.states)) if row not in rows]
        self.states = [self.states[row] for row in remaining]
        self._losses = [losses[:, remaining] for losses in self._losses]
        if remaining:
            self.path.keep(remaining)
        else:
            self.trainer.should_stop = True
        self._clock = time.perf_counter()

    def _final_metrics(self, rows: list[int]) -> None:
        """Measure the last weights, or the best ones if a regularizer restores them."""
        if not rows:
            return
        within_epoch = bool(self._losses)  # then the metrics of validation are those of other weights
        outdated = []
        for row in rows:
            state = self.states[row]
            if within_epoch:
                state.steps = state.epochs * self.plan.steps + len(torch.cat(self._losses)) // self.plan.accumulate
            if state.restore_best and state.best_weights is not None:
                self.path.load(row, state.best_weights)
                outdated.append(row)
            elif within_epoch or not any(name.startswith("val/") for name in state.metrics):
                outdated.append(row)
        if outdated:
            metrics = self._with_train(self.evaluate("val"))
            for row in outdated:
                self.states[row].metrics |= metrics[row]
        if self.plan.test:
            metrics = self.evaluate("test")
            for row in rows:
                self.states[row].metrics |= metrics[row]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # the path moves the batch itself
