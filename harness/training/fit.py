"""Fit a cohort of runs with Lightning: the Trainer of the config, the training path and the learner."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from harness._compat.lightning import start_at
from harness.datasets.dataset import SPLITS, Dataset, Part, Samples
from harness.modeling.builder import RunComponents
from harness.modeling.estimator import EstimatorModule
from harness.registry.code_state import first_state
from harness.registry.instantiate import is_unused
from harness.registry.kinds import KEY
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError
from harness.system.process_state import drawing
from harness.system.signals import Terminated
from harness.training.batches import Chunks, Transformed, make_loader
from harness.training.callbacks import CallbackLearner, FollowedPath, follow
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.diagnostics.system import Machine
from harness.training.diagnostics.view import ModelView
from harness.training.diagnostics.views import PathView, StackView
from harness.training.distributed import ProcessGroupStrategy, child_command, convert_sync_batchnorm, rank_environment
from harness.training.lightning_module import Learner, TrainingPath
from harness.training.plan import Plan
from harness.training.resources import choose_threads, use_threads
from harness.training.run_state import RunState
from harness.training.single import EstimatorPath, SinglePath
from harness.training.vectorized.loop import StackedPath


@dataclass
class Run:
    """One run of a cohort.

    Attributes:
        parts: The components of the run.
        plan: The plan of its batches and steps.
        dataset: Its data.
        state: Its history, metrics and weights, which training fills in.
        checkpoint: The checkpoint to resume from; None to start from the beginning.
    """

    parts: RunComponents
    plan: Plan
    dataset: Dataset
    state: RunState
    checkpoint: dict[str, Any] | None = None


class ExceptionCapture(pl.Callback):
    """Store the exception that Lightning turns into an exit."""

    error: BaseException | None = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.error = exception


def fit(trainer: pl.Trainer, cohort: Sequence[Run], fused: bool = False, until: int | None = None) -> None:
    """Train the runs of a cohort. The outcome is in the `state` of each run.

    Args:
        trainer: The trainer, from `make_trainer`.
        cohort: The runs; exactly one unless `fused`.
        fused: Train the runs as one program.
        until: The number of epochs after which to stop; None trains all of them.

    Raises:
        KeyboardInterrupt: If the user interrupts training.
        NotStackable: If the runs cannot be fused; torch may raise an error of its own.
        RuntimeError: If Lightning ended training before the first step.
        Exception: If a component raises it.
    """
    if not cohort[0].plan.epochs:
        evaluate(trainer, cohort[0])
        return
    for run in cohort:  # reset a plugin's globals, as if no run had been trained before in this process
        node = run.parts.values["optimizer"]
        if not is_unused("optimizer", node) and (code := first_state(REGISTRY.get("optimizer", node[KEY]))) is not None:
            code.restore()
    captured = next(c for c in trainer.callbacks if isinstance(c, ExceptionCapture))  # type: ignore[attr-defined]
    rank, world = trainer.global_rank, trainer.world_size
    first = cohort[0]

    def make_path(trainer: pl.Trainer) -> TrainingPath:
        device = trainer.strategy.root_device
        if not fused:
            splits, ranks = transformed_splits(first.dataset), (trainer.global_rank, world)
            if isinstance(first.parts.model, EstimatorModule):
                return EstimatorPath(first.parts, first.plan, splits, device, ranks)
            single = (
                FollowedPath(first.parts, first.plan, splits, device, trainer)
                if first.parts.callbacks
                else SinglePath(first.parts, first.plan, splits, device, ranks)
            )
            if trainer.global_rank == 0:
                single.diagnostic_runner = make_diagnostic_runner(first, PathView(single, first.dataset))
            return single
        parts = [run.parts for run in cohort]
        for part in parts:
            trainer.precision_plugin.convert_module(part.model)
        stacked = StackedPath(parts, [run.plan for run in cohort], [run.dataset for run in cohort], device)
        stacked.diagnostic_runner = make_diagnostic_runner(first, StackView(stacked), stacked.stack.rows)
        return stacked

    model: nn.Module = nn.Module() if fused else first.parts.model
    if world > 1:
        first.parts.model = model = convert_sync_batchnorm(model)
    checkpoints = [run.checkpoint for run in cohort if run.checkpoint is not None]
    for run in cohort:
        if run.checkpoint is not None:
            run.state.resume(run.checkpoint["member"], run.plan.steps)
    first_epoch, path_states = first.state.epochs, [checkpoint["state"] for checkpoint in checkpoints] or None
    batches = make_loader(first.dataset, first.plan, rank, world, first_epoch)
    states = [run.state for run in cohort]
    kind = Learner
    if first.parts.callbacks:
        kind = CallbackLearner
        follow(trainer, first.parts.callbacks, first.state, first.plan)
    learner = kind(model, states, first.plan, make_path, Machine(batches), first_epoch, path_states)
    trainer.fit_loop.max_epochs = until or first.plan.epochs
    start_at(trainer, first_epoch, first.plan.batches)
    samples = first.plan.samples // world
    threads = 1 if fused else choose_threads(first.parts.probe.work, samples, torch.get_num_threads())
    with quiet_lightning(), rank_environment(), restored_signals(), use_threads(threads), drawing(first.plan.seed):
        try:
            # callbacks see batches, and not chunks of them: the learner then has a loader of its own
            trainer.fit(learner, None if kind is CallbackLearner and isinstance(batches, Chunks) else batches)
        except SystemExit:
            # Lightning exits at Ctrl-C and SIGTERM, and for an exception of a component, which is a failure
            if isinstance(captured.error, Terminated):
                raise captured.error from None
            if type(captured.error) in (KeyboardInterrupt, SIGTERMException):
                raise KeyboardInterrupt from None
            raise captured.error or RuntimeError("Lightning ended the process") from None
        if not learner.started:
            raise RuntimeError("the run was ended before its first step (trainer.max_time?)")


def evaluate(trainer: pl.Trainer, run: Run) -> None:
    """Measure the metrics of a run that trains nothing, `train=false`. The outcome is in its `state`.

    Args:
        trainer: The trainer, for its device and precision.
        run: The run.
    """
    device = trainer.strategy.root_device
    model = trainer.precision_plugin.convert_module(run.parts.model).to(device)
    run.parts.model = model
    path = SinglePath(run.parts, run.plan, transformed_splits(run.dataset), device, (0, 1))
    with trainer.precision_plugin.val_step_context(), drawing(run.plan.seed):
        run.state.metrics = path.evaluate("val")[0] | path.evaluate("test")[0]
    run.state.plain_because = "it made no step"
    run.state.finish(path.weights())


def make_diagnostic_runner(run: Run, view: ModelView, rows: int | None = None) -> DiagnosticRunner | None:
    """Return the runner of a cohort's diagnostics, or None if it has none that are measured while it trains.

    Args:
        run: A run of the cohort; all have the same diagnostics.
        view: The model or the stack that is measured.
        rows: Rows of the stack; None for a single model.
    """
    diagnostics = {name: d for name, d in run.parts.diagnostics.items() if d.when != "end"}
    share, activations = run.parts.values["diagnostic_budget"], run.parts.probe.activations
    return DiagnosticRunner(diagnostics, share, run.plan, view, activations, rows) if diagnostics else None


def transformed_splits(dataset: Dataset) -> dict[str, Part]:
    """Return the splits by name, with the transforms applied to those that are not in memory."""
    return {
        split: part if isinstance(part := dataset.part(split), Samples) else Transformed(part, dataset.transforms)
        for split in SPLITS
    }


def make_trainer(options: dict[str, Any], plan: Plan, payload: str, folder: Path | None = None) -> pl.Trainer:
    """Return Lightning's Trainer without the features that the learner provides itself.

    Args:
        options: The arguments of the Trainer, from the config; None leaves Lightning's default.
        plan: The plan of the run.
        payload: The run, as other processes of a distributed run read it.
        folder: The folder of the run, for callbacks that write files.

    Raises:
        HarnessError: If Lightning refuses the options, or a batch has fewer samples than there are processes.
    """
    settings = {k: v for k, v in options.items() if v is not None}
    settings |= {
        "max_epochs": plan.epochs or 1,
        "default_root_dir": folder,
        "inference_mode": False,  # or metrics that are updated in Lightning's validation loop could not be used later
        "logger": False,
        "callbacks": [ExceptionCapture()],
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    try:
        with quiet_lightning():
            trainer = pl.Trainer(**settings)
            if trainer.world_size > 1 or settings.get("strategy") == "ddp":
                backend = "nccl" if trainer.strategy.root_device.type == "cuda" else "gloo"
                settings["strategy"] = ProcessGroupStrategy(child_command(payload), process_group_backend=backend)
                trainer = pl.Trainer(**settings)
    except Exception as error:  # Lightning explains what this machine or its version cannot do
        raise HarnessError(f"trainer: {' '.join(str(error).split())}") from error
    smallest = plan.size(plan.batches - 1)
    if trainer.world_size > smallest:
        raise HarnessError(
            f"the last batch has {smallest} samples, too few for {trainer.world_size} processes; change batch_size"
        )
    return trainer


def refuse_processes(trainer: pl.Trainer, callbacks: Collection[str]) -> None:
    """Raise HarnessError if several processes were to train a run that callbacks follow."""
    if callbacks and trainer.world_size > 1:
        raise HarnessError(
            f"callback {next(iter(callbacks))} follows a run in one process, and this run has {trainer.world_size}: "
            "set trainer.devices=1"
        )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Context without Lightning's log messages, and without its advice on features that the learner replaces."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in (
            ".*configure_optimizers.*",
            ".*does not have many workers.*",
            ".*number of training batches.*",
            ".*GPU available but not used.*",
            ".*No training batches.*",
            ".*isinstance.treespec, LeafSpec.*",  # torch's deprecation, in Lightning's code
            ".*Starting from v1.9.0.*",
            ".*You defined a `validation_step`.*",
            ".*exists and is not empty.*",  # checkpoints of a callback, of a run that is resumed
        ):
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def restored_signals() -> Iterator[None]:
    """Context that restores the handlers of SIGINT and SIGTERM: Lightning ignores SIGINT after the first one."""
    try:
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread
        handlers = {}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
