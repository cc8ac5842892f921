"""Training of a run that callbacks of Lightning follow: batch by batch, with Lightning's own validation loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from harness._compat.lightning import count_steps
from harness.datasets.dataset import Part
from harness.modeling.builder import RunComponents
from harness.modeling.rng.noise import GlobalBatch
from harness.training.ending import convert_stop_iteration
from harness.training.lightning_module import Learner
from harness.training.param_group import ParamGroup
from harness.training.plan import Plan
from harness.training.run_state import RunState
from harness.training.single import EVALUATION, SinglePath

Batch = tuple[Tensor, Tensor]
Call = Callable[..., None]  # calls a hook of every callback: call("on_before_backward", loss)


class FollowedGroup(ParamGroup):
    """A group whose gradients and steps callbacks may see and change.

    Args:
        call: Calls a hook of the callbacks.
        name: The group's name in the task.
        params: The parameters by their names in the model.
        parts: The components of the run.
        plan: The plan of the run.
    """

    def __init__(
        self, call: Call, name: str, params: dict[str, nn.Parameter], parts: RunComponents, plan: Plan
    ) -> None:
        super().__init__(name, params, parts, plan)
        self.call = call

    def differentiate(self, loss: Tensor, last: bool) -> dict[str, Tensor]:
        """Return the gradients of a loss by name, as callbacks leave them in the parameters."""
        self.call("on_before_zero_grad", self.optimizer)
        self.call("on_before_backward", loss)
        self.set_gradients(super().differentiate(loss, last))
        self.call("on_after_backward")
        return {name: p.grad for name, p in self.params.items() if p.grad is not None}

    def step(self, step: Callable[[], Any]) -> None:
        """Call the callbacks, then make the step."""
        self.call("on_before_optimizer_step", self.optimizer)
        super().step(step)


class FollowedPath(SinglePath):
    """Train one run by itself, with calls of callbacks in each step.

    Args:
        parts: The components of the run.
        plan: The plan of the run.
        data: The splits by name.
        device: The device of the model.
        trainer: The trainer, which has the callbacks.
    """

    def __init__(
        self, parts: RunComponents, plan: Plan, data: dict[str, Part], device: torch.device, trainer: pl.Trainer
    ) -> None:
        self.callbacks = parts.callbacks

        def call(hook: str, *args: Any) -> None:
            for callback in parts.callbacks.values():
                getattr(callback, hook)(trainer, trainer.lightning_module, *args)

        def group(*args: Any) -> FollowedGroup:
            return FollowedGroup(call, *args)

        super().__init__(parts, plan, data, device, (0, 1), group)

    def train_batches(self) -> Iterator[Batch]:
        """Yield the training batches of the epoch, of data in memory."""
        return ((x, y) for _, x, y in self.gather(range(self.plan.batches)))

    def evaluation_batches(self, split: str) -> Iterator[Batch]:
        """Yield the batches in which a split is evaluated."""
        for first, count in self.evaluation_bounds(split):
            yield self.slice(self.data[split], first, count, self.tuples[split])

    def state(self, row: int = 0) -> dict[str, Any]:
        """Return the state for a checkpoint, with those of the callbacks."""
        return super().state(row) | {"callbacks": {name: c.state_dict() for name, c in self.callbacks.items()}}

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Continue from the state of a checkpoint."""
        super().restore(states)
        for name, state in states[0]["callbacks"].items():
            self.callbacks[name].load_state_dict(state)


class _Batches:
    """Batches that Lightning fetches anew for each pass."""

    def __init__(self, count: int, make: Callable[[], Iterator[Batch]]) -> None:
        self.count, self.make = count, make

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        return self.make()


class CallbackLearner(Learner):
    """Train one run in Lightning's loops of training and validation, one batch a step.

    Callbacks see what they see of other modules: the batches `(x, y)`, the outputs `{"loss": ...}`, the gradients in
    the parameters, `trainer.optimizers`, `trainer.global_step`, and `train/loss` and the metrics of validation in
    `trainer.callback_metrics`. The arithmetic is that of `Learner`.
    """

    path: FollowedPath

    def forward(self, *x: Any) -> Any:
        """Call the model."""
        return self.model(*x)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:  # type: ignore[override]
        """Build the path, since its optimizers are to be those of the trainer."""
        super().open_path()
        self._validated: list[dict[str, float]] | None = None
        return [group.optimizer for group in self.path.groups]

    def open_path(self) -> None:
        """Do nothing: the path was built with the optimizers."""

    def train_dataloader(self) -> _Batches:
        """Return the batches of an epoch, of data in memory."""
        return _Batches(self.plan.batches, self.path.train_batches)

    def val_dataloader(self) -> _Batches:
        """Return the batches of validation."""
        return _Batches(len(self.path.evaluation_bounds("val")), lambda: self.path.evaluation_batches("val"))

    @convert_stop_iteration
    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:  # type: ignore[override]
        losses = self.path.train_on(batch_index, *batch)
        loss = losses[0, 0]
        step = self.epoch * self.plan.steps + batch_index // self.plan.accumulate
        count_steps(self.trainer, (step + self.plan.ends_step(batch_index)) * len(self.path.groups))
        self.log("train/loss", loss, on_step=False, on_epoch=True, logger=False, batch_size=self.plan.size(batch_index))
        self.record_batches(batch_index, batch_index + 1, losses)
        return {"loss": loss}

    def on_validation_model_eval(self) -> None:
        """Begin the evaluation, with the weights that regularizers evaluate."""
        self._total = torch.zeros((), device=self.path.device, dtype=torch.float64)
        self._bounds = self.path.evaluation_bounds("val")
        self._evaluating = ExitStack()
        self._evaluating.enter_context(self.path.evaluating())

    @convert_stop_iteration
    def validation_step(self, batch: Batch, batch_index: int) -> None:
        first, count = self._bounds[batch_index]
        key = self.path.key(EVALUATION + first)
        losses, outputs = self.path.evaluate_batch(*batch, GlobalBatch(0, count, count), key)
        self.path.add_evaluated("val", self._total, losses, outputs, count)
        if batch_index + 1 == len(self._bounds):
            metrics = self.path.evaluated("val", self._total)
            self._validated = [metrics]
            self.log_dict(metrics, on_step=False, on_epoch=True, logger=False, batch_size=1)

    def on_validation_model_train(self) -> None:
        """End the evaluation."""
        self._evaluating.close()

    @convert_stop_iteration
    def end_followed_epoch(self) -> None:
        """Record the epoch, unless a callback has stopped training within it."""
        if self.states and len(torch.cat(self._losses)) == self.plan.batches:
            self.end_epoch()

    def validate(self) -> list[dict[str, float]]:
        """Return the metrics of Lightning's validation loop, or measure them if it has not run in this epoch."""
        metrics, self._validated = self._validated, None
        return metrics or self.evaluate("val")

    def stopped_by(self) -> str | None:
        """Return the setting that ended training before its plan, if any."""
        names = list(self.path.callbacks)
        by = "callback" if len(names) > 1 else f"callback.{names[0]}"
        return super().stopped_by() or (by if self.trainer.should_stop else None)


class _EndEpoch(Checkpoint):
    """Ends each epoch after every other callback: those that monitor metrics are called after the module."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, CallbackLearner)
        pl_module.end_followed_epoch()


class _RunLogger(Logger):
    """Log what callbacks log as diagnostics of the run, named `callback/...`.

    Args:
        state: The state of the run.
        plan: The plan of the run.
        folder: The folder of the run, into which callbacks write.
    """

    def __init__(self, state: RunState, plan: Plan, folder: str) -> None:
        super().__init__()
        self.state, self.plan, self.folder = state, plan, folder

    @property
    def name(self) -> str:
        """The name of the run's folder below `save_dir`: none."""
        return ""

    @property
    def version(self) -> str:
        """The version of the run: none."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the run."""
        return self.folder

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the record holds the config."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers; the step counts batches, as Lightning does."""
        values = {f"callback/{name}": float(value) for name, value in metrics.items() if name != "epoch"}
        steps = self.state.steps_made if step is None else step // self.plan.accumulate
        if values:
            self.state.record_diagnostics(values, steps, self.state.epochs)


def follow(trainer: pl.Trainer, callbacks: Mapping[str, pl.Callback], state: RunState, plan: Plan) -> None:
    """Add callbacks to a trainer, with a logger for them.

    Args:
        trainer: The trainer.
        callbacks: The callbacks by name; those that write checkpoints are called last.
        state: The state of the run.
        plan: The plan of the run.
    """
    trainer.loggers = [_RunLogger(state, plan, str(trainer.default_root_dir))]
    ordered = sorted(callbacks.values(), key=lambda callback: isinstance(callback, Checkpoint))
    trainer.callbacks += [*ordered, _EndEpoch()]  # type: ignore[attr-defined]
