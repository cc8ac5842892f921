"""The one LightningModule: chunks of in-memory batches, or a loader's batches, over a cohort of members."""

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
from harness.training.ending import ended_by_timer, raising, refuse_short_training
from harness.training.plan import Plan
from harness.training.run_state import RunState


class TrainingPath(Protocol):
    """How a cohort is trained. Its members are counted from 0, in the order in which they lie."""

    def start_epoch(self, epoch: int) -> None: ...
    def train(self, batches: range) -> Tensor: ...
    def evaluate(self, split: str) -> list[dict[str, float]]: ...
    def weights(self, row: int) -> dict[str, Tensor]: ...
    def load(self, row: int, weights: dict[str, Tensor]) -> None: ...
    def lr(self, row: int) -> float: ...
    def end_epoch(self, found: list[dict[str, float]]) -> None: ...
    def keep(self, members: list[int]) -> None: ...
    def state(self, row: int) -> dict[str, Any]: ...
    def restore(self, states: list[dict[str, Any]]) -> None: ...


class Learner(pl.LightningModule):
    """Trains K >= 1 members. `make` builds their path when the weights are on their device.

    One `training_step` is a chunk of steps where the data is in memory: Lightning's hooks cost as much as a step
    of a small network, so they are paid once a chunk. Members that diverge, stop or fail leave, and the others go on.
    """

    def __init__(
        self,
        model: nn.Module,
        members: list[RunState],
        plan: Plan,
        make: Callable[[pl.Trainer], TrainingPath],
        machine: Machine,
        first: int = 0,
        states: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.members, self.plan, self.make = model, list(members), plan, make
        self.machine = machine
        self.path: TrainingPath
        self._losses: list[Tensor] = []
        self.started = False
        self.first = first  # the epoch to begin with, where a checkpoint is gone on from
        self.states = states

    def configure_optimizers(self) -> None:
        """The path makes its own."""

    @raising
    def on_train_start(self) -> None:
        self.path = self.make(self.trainer)
        if self.states is not None:
            self.path.restore(self.states)
            self.states = None
        self._clock = time.perf_counter()
        self.started = True

    @property
    def epoch(self) -> int:
        """The epoch of the run, counted from 0."""
        return self.first + int(self.current_epoch)

    def _share(self) -> None:
        """Gives each member its share of the time since the last look, and the whole of it as the cohort's."""
        now = time.perf_counter()
        for member in self.members:
            member.fit_s += now - self._clock
            member.share_s += (now - self._clock) / len(self.members)
        self._clock = now

    @raising
    def on_train_epoch_start(self) -> None:
        self.path.start_epoch(self.epoch)
        self._losses = []
        self.machine.begin()

    @raising
    def training_step(self, batch: Any, batch_index: int) -> None:
        if isinstance(batch, Chunk):
            first, last = batch.first, batch.last
            losses = self.path.train(range(first, last))
        else:
            first, last = batch_index, batch_index + 1
            losses = self.path.train_on(batch_index, *batch)  # type: ignore[attr-defined]  # of one member alone
        self._losses.append(losses)

        def step_of(index: int) -> int:
            return self.epoch * self.plan.steps + (first + index) // self.plan.accumulate

        for member, column in zip(self.members, losses.T.tolist(), strict=True):
            member.made = step_of(last - first - 1) + 1 if member.see(column, step_of) else member.steps
        self._looked()
        for row, (error, sharers) in getattr(self.path, "failures", {}).items():  # of a stack
            member = self.members[row]
            if not member.diverged:
                member.failed, member.sharers = error, sharers
        self._leave([row for row, member in enumerate(self.members) if member.diverged or member.failed])
        if self.members and last == self.plan.batches:
            self._end_epoch()

    def _looked(self) -> None:
        """Hands on what diagnostics found in the last steps, to those that had not diverged before."""
        looking: DiagnosticRunner | None = getattr(self.path, "looking", None)
        if looking is None:
            return
        for look in looking.take():
            began = time.perf_counter()
            for member, found in zip(self.members, look.rows, strict=False):  # spare rows are no one's
                if not member.diverged or look.step <= member.steps:
                    member.look(found, look.step + 1, self.epoch)
            looking.wrote(look, time.perf_counter() - began)

    def _end_epoch(self) -> None:
        losses = torch.cat(self._losses)  # [batches, K]
        self._losses = []
        sizes = torch.tensor([self.plan.size(b) for b in range(self.plan.batches)], device=losses.device)
        means = (losses.double() * sizes[:, None]).sum(0) / self.plan.n
        found: list[dict[str, float]] = [{} for _ in self.members]
        looking: DiagnosticRunner | None = getattr(self.path, "looking", None)
        histories = looking if looking is not None and looking.epoch_due(self.epoch - self.first) else None
        seen: dict[str, float] = {}
        cost = 0.0  # of what is measured of epochs, and of writing it down
        if histories is not None:
            began = time.perf_counter()
            seen = self.machine.end(self.plan.n * len(self.members), losses.device)
            cost = time.perf_counter() - began
        every = self.trainer.check_val_every_n_epoch or 1
        if (self.epoch + 1) % every == 0 or self.epoch + 1 == self.plan.epochs:
            found = self.evaluate("val")
        for row, (member, mean, values) in enumerate(zip(self.members, means.tolist(), found, strict=True)):
            metrics = {"train/loss": mean, "train/lr": self.path.lr(row), **values}
            step = (self.epoch + 1) * self.plan.steps
            member.end_epoch(metrics, step, functools.partial(self.path.weights, row))
            if histories is not None:
                began = time.perf_counter()
                member.look(histories.epoch(member.history, seen), step, self.epoch)
                cost += time.perf_counter() - began
        if histories is not None:
            histories.epoch_measured(cost)
        self.path.end_epoch(found)
        self._share()
        done = [row for row, member in enumerate(self.members) if member.stopped or member.failed]
        if self.plan.checkpoint_every and (self.epoch + 1) % self.plan.checkpoint_every == 0:
            for row, member in enumerate(self.members):
                if row not in done and self.epoch + 1 < self.plan.epochs:
                    member.checkpoint(functools.partial(self.path.state, row))
        self._leave(done)

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Every member's metrics on a split, in the run's precision."""
        with self.trainer.precision_plugin.val_step_context():
            return self.path.evaluate(split)

    @raising
    def on_train_end(self) -> None:
        """The final values of those that are left."""
        if not (self.started and self.members):
            return
        timer = ended_by_timer(self.trainer)
        planned = (self.first + (self.trainer.fit_loop.max_epochs or 0)) * self.plan.steps
        for member in self.members:
            if timer and member.made < planned:
                member.stopped_by = timer
            refuse_short_training(member, planned)
        self._leave(range(len(self.members)))

    def _leave(self, rows: Iterable[int]) -> None:
        """Some members are done: their final values are measured, and the others go on without them."""
        rows = list(rows)
        if not rows:
            return
        self._share()
        self._final([row for row in rows if not self.members[row].diverged and not self.members[row].failed])
        looking: DiagnosticRunner | None = getattr(self.path, "looking", None)
        told = {} if looking is None else looking.summary()
        for row in rows:
            member = self.members[row]
            member.diagnosed = dict(told)
            member.end(None if member.diverged or member.failed else self.path.weights(row))
        kept = [row for row in range(len(self.members)) if row not in rows]
        self.members = [self.members[row] for row in kept]
        self._losses = [losses[:, kept] for losses in self._losses]
        if kept:
            self.path.keep(kept)
        else:
            self.trainer.should_stop = True
        self._clock = time.perf_counter()

    def _final(self, rows: list[int]) -> None:
        """The final metrics: of the last weights, or of the best where a regularizer keeps them."""
        if not rows:
            return
        inside = bool(self._losses)  # stopped inside an epoch: what was measured is of other weights
        stale = []
        for row in rows:
            member = self.members[row]
            if inside:
                member.steps = member.epochs * self.plan.steps + len(torch.cat(self._losses)) // self.plan.accumulate
            if member.restore and member.best_weights is not None:
                self.path.load(row, member.best_weights)
                stale.append(row)
            elif inside or not any(name.startswith("val/") for name in member.metrics):
                stale.append(row)
        if stale:
            found = self.evaluate("val")
            for row in stale:
                self.members[row].metrics |= found[row]
        found = self.evaluate("test")
        for row in rows:
            self.members[row].metrics |= found[row]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # the path moves what is not yet there
