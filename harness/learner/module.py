"""The one LightningModule: chunks of in-memory batches, or a loader's batches, over a cohort of members."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from harness.learner.alone import Alone
from harness.learner.batches import Chunk
from harness.learner.member import Member
from harness.learner.plan import Plan


class Learner(pl.LightningModule):
    """Trains K >= 1 members. `make` builds their path when the weights are on their device.

    One `training_step` is a chunk of steps where the data is in memory: Lightning's hooks cost as much as a step
    of a small network, so they are paid once a chunk.
    """

    def __init__(self, model: nn.Module, members: list[Member], plan: Plan, make: Callable[[pl.Trainer], Alone]):
        super().__init__()
        self.automatic_optimization = False
        self.model, self.members, self.plan, self.make = model, members, plan, make
        self.path: Alone
        self._losses: list[Tensor] = []
        self.started = False
        self.fit_s = 0.0  # without the start of processes, and without the test

    def configure_optimizers(self) -> None:
        """The path makes its own."""

    def on_train_start(self) -> None:
        self._start = time.perf_counter()
        self.path = self.make(self.trainer)
        self.started = True

    def on_train_epoch_start(self) -> None:
        self.path.start_epoch(self.current_epoch)
        self._losses = []

    def training_step(self, batch: Any, batch_index: int) -> None:
        if isinstance(batch, Chunk):
            first, last = batch.first, batch.last
            losses = self.path.train(range(first, last))
        else:
            first, last = batch_index, batch_index + 1
            losses = self.path.train_on(batch_index, *batch)
        self._losses.append(losses)

        def step_of(index: int) -> int:
            return self.current_epoch * self.plan.steps + (first + index) // self.plan.accumulate

        alive = [member.see(column, step_of) for member, column in zip(self.members, losses.T.tolist(), strict=True)]
        if not all(alive):
            self.trainer.should_stop = True
        elif last == self.plan.batches:
            self._end_epoch()

    def _end_epoch(self) -> None:
        losses = torch.cat(self._losses)  # [batches, K]
        sizes = torch.tensor([self.plan.size(b) for b in range(self.plan.batches)], device=losses.device)
        means = (losses.double() * sizes[:, None]).sum(0) / self.plan.n
        found: list[dict[str, float]] = [{} for _ in self.members]
        every = self.trainer.check_val_every_n_epoch or 1
        if (self.current_epoch + 1) % every == 0 or self.current_epoch + 1 == self.plan.epochs:
            found = self.evaluate("val")
        for member, mean, values in zip(self.members, means.tolist(), found, strict=True):
            metrics = {"train/loss": mean, "train/lr": self.path.lr, **values}
            member.end_epoch(metrics, (self.current_epoch + 1) * self.plan.steps, self.path.weights)
        self._losses = []
        if all(member.stopped for member in self.members):
            self.trainer.should_stop = True

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Every member's metrics on a split, in the run's precision."""
        with self.trainer.precision_plugin.val_step_context():
            return self.path.evaluate(split)

    def on_train_end(self) -> None:
        """The final values: of the last weights, or of the best where a regularizer keeps them."""
        if not self.started:
            return
        self.fit_s = time.perf_counter() - self._start
        for index, member in enumerate(self.members):
            if member.diverged:
                continue
            if self._losses:  # stopped inside an epoch: what was measured is of other weights
                done = len(torch.cat(self._losses)) // self.plan.accumulate
                member.steps = member.epochs * self.plan.steps + done
            if self._losses or not any(name.startswith("val/") for name in member.metrics):
                member.metrics |= self.evaluate("val")[index]
            if member.restore and member.best_weights is not None:
                self.path.load(member.best_weights)
                member.metrics |= self.evaluate("val")[index]
            member.metrics |= self.evaluate("test")[index]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # the path moves what is not yet there
