"""One fit: a Trainer from the config, the learner, and what came of it."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

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
from harness.training.batches import Transformed, loader
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.diagnostics.system import Machine
from harness.training.diagnostics.view import ModelView
from harness.training.diagnostics.views import PathView, StackView
from harness.training.distributed import Ranks, child_command, rank_environment, synchronise
from harness.training.fitted import EstimatorPath
from harness.training.lightning_module import Learner, TrainingPath
from harness.training.plan import Plan
from harness.training.run_state import RunState
from harness.training.single import SinglePath
from harness.training.threads import threads, using
from harness.training.vectorized.loop import StackedPath


@dataclass
class Run:
    """One member of a cohort: what it is made of, how many steps it makes, its data, and what it leaves."""

    parts: RunComponents
    plan: Plan
    dataset: Dataset
    member: RunState
    checkpoint: dict[str, Any] | None = None  # to go on from


class ExceptionCapture(pl.Callback):
    """Keeps the exception that Lightning turns into an exit."""

    error: BaseException | None = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.error = exception


def fit(trainer: pl.Trainer, cohort: Sequence[Run], fused: bool = False, until: int | None = None) -> None:
    """Trains the members of a cohort: one alone, or any number fused; `until` an epoch, where one is given.

    Raises KeyboardInterrupt when interrupted, Unlike or torch's own error for a cohort that cannot be fused, and
    whatever goes wrong in training.
    """
    for run in cohort:  # a plugin's globals are as if no run had been trained before in this process
        node = run.parts.values["optimizer"]
        if not is_unused("optimizer", node) and (code := first_state(REGISTRY.get("optimizer", node[KEY]))) is not None:
            code.restore()
    catch = next(c for c in trainer.callbacks if isinstance(c, ExceptionCapture))  # type: ignore[attr-defined]
    rank, world = trainer.global_rank, trainer.world_size
    first = cohort[0]

    def make(trainer: pl.Trainer) -> TrainingPath:
        device = trainer.strategy.root_device
        if not fused:
            if isinstance(first.parts.model, EstimatorModule):
                return EstimatorPath(
                    first.parts, first.plan, placed(first.dataset), device, (trainer.global_rank, world)
                )
            alone = SinglePath(first.parts, first.plan, placed(first.dataset), device, (trainer.global_rank, world))
            if trainer.global_rank == 0:
                alone.looking = looking(first, PathView(alone, first.dataset))
            return alone
        parts = [run.parts for run in cohort]
        for part in parts:
            trainer.precision_plugin.convert_module(part.model)
        stack = StackedPath(parts, [run.plan for run in cohort], [run.dataset for run in cohort], device)
        stack.looking = looking(first, StackView(stack), stack.stack.rows)
        return stack

    model: nn.Module = nn.Module() if fused else first.parts.model
    if world > 1:
        first.parts.model = model = synchronise(model)
    kept = [run.checkpoint for run in cohort if run.checkpoint is not None]
    for run in cohort:
        if run.checkpoint is not None:
            run.member.resume(run.checkpoint["member"], run.plan.steps)
    begin, states = first.member.epochs, [checkpoint["state"] for checkpoint in kept] or None
    batches = loader(first.dataset, first.plan, rank, world, begin)
    learner = Learner(model, [run.member for run in cohort], first.plan, make, Machine(batches), begin, states)
    trainer.fit_loop.max_epochs = (until or first.plan.epochs) - begin
    count = 1 if fused else threads(first.parts.probe.work, first.plan.samples // world, torch.get_num_threads())
    with quiet(), rank_environment(), signals(), using(count), drawing(first.plan.seed):
        try:
            trainer.fit(learner, batches)
        except SystemExit:
            # Lightning ends the process at Ctrl-C and SIGTERM; what a component raises is a failure
            if isinstance(catch.error, Terminated):
                raise catch.error from None
            if type(catch.error) in (KeyboardInterrupt, SIGTERMException):
                raise KeyboardInterrupt from None
            raise catch.error or RuntimeError("Lightning ended the process") from None
        if not learner.started:
            raise RuntimeError("the run was ended before its first step (trainer.max_time?)")


def looking(run: Run, scene: ModelView, rows: int | None = None) -> DiagnosticRunner | None:
    """The diagnostics of a cohort, of which a run is one member; None where it has none that look at steps."""
    found = {name: d for name, d in run.parts.diagnostics.items() if d.when != "end"}
    share, activations = run.parts.values["diagnostic_budget"], run.parts.probe.activations
    return DiagnosticRunner(found, share, run.plan, scene, activations, rows) if found else None


def placed(dataset: Dataset) -> dict[str, Part]:
    """The splits, those that are not in memory with their transforms."""
    return {
        split: part if isinstance(part := dataset.part(split), Samples) else Transformed(part, dataset.transforms)
        for split in SPLITS
    }


def make_trainer(given: dict[str, Any], plan: Plan, payload: str) -> pl.Trainer:
    """Lightning's Trainer, with everything that the learner does itself switched off.

    `payload` tells other processes of the run, where there are any, what to train. Raises HarnessError for what
    Lightning refuses, and for batches that cannot be divided.
    """
    settings = {k: v for k, v in given.items() if v is not None}
    settings |= {
        "max_epochs": plan.epochs,
        "logger": False,
        "callbacks": [ExceptionCapture()],
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    try:
        with quiet():
            trainer = pl.Trainer(**settings)
            if trainer.world_size > 1 or settings.get("strategy") == "ddp":
                settings["strategy"] = Ranks(child_command(payload), process_group_backend=_backend(trainer))
                trainer = pl.Trainer(**settings)
    except Exception as error:  # Lightning's own words on what this machine or its version cannot do
        raise HarnessError(f"trainer: {' '.join(str(error).split())}") from error
    smallest = plan.size(plan.batches - 1)
    if trainer.world_size > smallest:
        raise HarnessError(
            f"the last batch has {smallest} samples, too few for {trainer.world_size} processes; change batch_size"
        )
    return trainer


def _backend(trainer: pl.Trainer) -> str:
    return "nccl" if trainer.strategy.root_device.type == "cuda" else "gloo"


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's greetings, and without its advice on what the learner decides otherwise."""
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
        ):
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def signals() -> Iterator[None]:
    """Gives Ctrl-C and SIGTERM back as they were: Lightning leaves Ctrl-C ignored after one."""
    try:
        kept = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread
        kept = {}
    try:
        yield
    finally:
        for which, handler in kept.items():
            if handler is not None and signal.getsignal(which) is not handler:
                signal.signal(which, handler)
