"""Write a run's folder while it is trained, and its record at its end."""

from __future__ import annotations

import functools
import json
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.datasets.dataset import Dataset
from harness.execution.dry_run import directions
from harness.execution.final_measures import diagnose_at_end, measure_at_end
from harness.execution.logging.run_loggers import RunLoggers
from harness.execution.preparation import RunSpec
from harness.modeling.builder import RunComponents
from harness.modeling.weights import WEIGHTS, save_weights
from harness.registry.instantiate import component
from harness.results import checkpoint, environment
from harness.results.curves import Curves
from harness.results.machine_faults import MACHINE_FAULT, machine_fault
from harness.results.record import Record, read, write, write_together
from harness.results.run_dir import open_folder
from harness.system import safe_files
from harness.system.errors import CannotWrite, one_line, reraise_interrupt
from harness.system.process_state import SOMEONE
from harness.system.signals import Terminated
from harness.training.diagnostics.summary import Summary
from harness.training.ending import describe_ending, warn_never_finite
from harness.training.fit import Run
from harness.training.memory.estimate import estimate_memory
from harness.training.run_callback import RunCallback
from harness.training.run_state import RunState

FAIL_FAST = "fail_fast=true, and another run failed"
log = logging.getLogger("harness")


class EndedRuns:
    """Runs of one study that have ended and whose records are not written yet.

    The records of runs that end together are written together, since each wait for the disk takes milliseconds.
    """

    def __init__(self) -> None:
        self._recorders: list[RunRecorder] = []

    def add(self, recorder: RunRecorder) -> None:
        """Add a run that has ended."""
        self._recorders.append(recorder)

    def write(self) -> None:
        """Write the records durably, then call the callbacks of the runs.

        Raises:
            CannotWrite: If a record cannot be written: on disk its run then still is `running`.
        """
        errors = write_records(self._recorders)
        ended, self._recorders = self._recorders, []
        for recorder in ended:
            if recorder not in errors:
                recorder.notify()
        for error in errors.values():
            raise error


def write_records(recorders: Sequence[RunRecorder]) -> dict[RunRecorder, CannotWrite]:
    """Write the records of runs durably: together, or one by one if that fails. Return the errors that remain."""
    chosen = [recorder for recorder in recorders if recorder.is_latest()]
    try:
        write_together([r.record for r in chosen], [file for r in chosen for file in r.files])
    except OSError as error:
        if len(chosen) > 1:
            return {r: e for recorder in chosen for r, e in write_records([recorder]).items()}
        return {chosen[0]: CannotWrite.from_os_error(chosen[0].record.folder, error, begun=True)}
    return {}


class RunRecorder(RunCallback):
    """Writes a run's folder: the record, curves, logs, events, weights.

    A run ends once: when its training ends, or by `fail` or `interrupt`. Its record is written with those of `ended`.
    """

    def __init__(
        self,
        spec: RunSpec,
        cohort: Mapping[str, Any],
        started: float,
        ended: EndedRuns,
        callbacks: Sequence[RunCallback] = (),
    ) -> None:
        self.spec, self.started, self.ended_runs = spec, started, ended
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.record = replace(
            spec.record,
            status="running",
            time={"started": now},
            cohort=dict(cohort),
            environment=environment.describe(spec.device) | spec.record.environment,
            memory={"base": _base(spec)},
        )
        self.ended = self.written = False
        self.files: list[Path] = []  # that the record refers to
        keep = [] if spec.checkpoint is None else [checkpoint.FILE]
        open_folder(self.record, spec.overrides, spec.hydra, keep)
        self.curves = Curves(self.record.folder)
        self.callbacks = callbacks
        self.loggers = RunLoggers([], self.record)
        self.run: Run | None = None
        self.summary = Summary()

    def _say(self, message: str, *args: object) -> None:
        log.info(message, *args, extra={"run_folder": self.record.folder})

    def warn(self, line: str) -> None:
        """Add a warning to the run's record and log, unless it is there.

        Of two lines that report the same change of the process, the one that names the component stays.
        """
        author, changed, change = line.partition(" changed ")
        same = [old for old in self.record.warnings if changed and old.partition(" changed ")[2] == change]
        if line in self.record.warnings or (same and author == SOMEONE):
            return
        others = [old for old in self.record.warnings if not (old in same and old.startswith(f"{SOMEONE} "))]
        self.record.warnings[:] = [*others, line]
        log.warning("%s", line, extra={"run_folder": self.record.folder})
        if self.written:
            for error in write_records([self]).values():
                raise error

    def begin(self, parts: RunComponents, dataset: Dataset) -> Run:
        """Return the run, ready to be fitted, with its loggers."""
        values, record = self.spec.values, self.record
        self._say("run %s (%s) of study %s", record.id, record.name, record.study)
        if self.spec.fresh and self.spec.checkpoint is None:
            self.warn(self.spec.fresh)
        parameters = list(parts.model.parameters())
        record.model = {
            "parameters": sum(p.numel() for p in parameters),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        }
        record.memory |= self._estimate(parts, dataset) | {"peak": None}
        where = {"run_dir": str(record.folder), "name": record.name, "in_sweep": bool(record.cohort["sweep"])}
        self.loggers = RunLoggers([component("logger", node, **where) for node in values["logger"].values()], record)
        member = make_member(values, parts, self.spec.directions)
        member.callbacks = [self]
        if self.spec.plan.checkpoint_every:
            member.save_checkpoint = functools.partial(checkpoint.save, record.folder, record.id, record.cohort["path"])
        self.run = Run(parts, self.spec.plan, dataset, member, self.spec.checkpoint)
        self.loggers.begin(self.run, self.spec.overrides)
        for callback in self.callbacks:
            callback.on_run_start(self.run)
        return self.run

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        self.curves.add(metrics, step, epoch)
        self.loggers.metrics(metrics, step)
        for callback in self.callbacks:
            callback.on_epoch_end(metrics, step, epoch)

    def on_diagnostics(self, values: Mapping[str, Any], step: int, epoch: int) -> None:
        self.curves.look(values, step, epoch)
        self.loggers.diagnostics(values, step)
        self.summary.add(values, step, epoch)
        for callback in self.callbacks:
            callback.on_diagnostics(values, step, epoch)

    def _estimate(self, parts: RunComponents, dataset: Dataset) -> dict[str, Any]:
        try:
            estimate = estimate_memory(parts, dataset, self.spec.plan, self.spec.device)
        except BaseException as error:  # the failure of the run, which its first step meets too
            reraise_interrupt(error)
            return {"estimate": None}
        return {"estimate": estimate.total(), "parts": estimate.parts()}

    def on_training_end(self, member: RunState) -> None:
        """Measure what is measured once, and write the record.

        A run whose optimizer raised in a stack has not ended: its cohort finds out which run is to blame, and whether
        it fails alone, too.
        """
        try:
            for callback in self.callbacks:
                callback.on_training_end(member)
        except BaseException as error:
            reraise_interrupt(error)
            member.failed = member.failed or error
        if member.failed is not None:
            if not member.failed_optimizer_runs:
                self.fail(member.failed)
            return
        self.record.status = "diverged" if member.diverged else "completed"
        self.record.error = member.diverged
        assert self.run is not None
        try:
            measure_at_end(self.run)
            if values := diagnose_at_end(self.run):
                for callback in member.callbacks:
                    callback.on_diagnostics(values, member.steps, max(0, member.epochs - 1))
        except BaseException as error:  # of a metric, or of a logger
            reraise_interrupt(error)
            self._failed(error)
        self._end()

    def fail(self, error: BaseException) -> None:
        """End the run with an exception, unless it has ended. A fault of the machine makes it `interrupted`."""
        if self.ended:
            return
        self._failed(error)
        self._end()

    def _failed(self, error: BaseException) -> None:
        """Record an exception: a fault of the machine interrupts the run, and anything else is the run's failure."""
        trace = "".join(traceback.format_exception(error))
        if (fault := machine_fault(error)) is None:
            self.record.status = "failed"
            self.record.error = {"type": type(error).__name__, "message": str(error), "traceback": trace}
        elif self.record.status != "failed":
            self.record.status = "interrupted"
            self.record.error = {"type": MACHINE_FAULT, "message": fault, "traceback": trace}

    def forget(self) -> None:
        """Drop the trained objects and the data; the record stays."""
        self.run = None

    def interrupt(self, kind: str = "KeyboardInterrupt", message: str = "interrupted by the user") -> None:
        """End the run as interrupted, unless it has ended."""
        if self.ended:
            return
        self.record.status = "interrupted"
        self.record.error = {"type": kind, "message": message, "traceback": None}
        self._end()

    def _end(self) -> None:
        """Write the results, and complete the record."""
        self.ended = True
        record, spec = self.record, self.spec
        stop: BaseException | None = None
        for step in (self._write_results, self.loggers.end):  # loggers are told how everything else ended
            try:
                step()
            except BaseException as error:  # of a logger, or of a disk that is full: the record is written all the same
                if type(error) in (KeyboardInterrupt, Terminated):
                    stop = error
                    continue
                if record.status != "interrupted":
                    self._failed(error)
        member = None if self.run is None else self.run.state
        record.steps, record.ended = describe_ending(record.status, member, spec.plan)
        record.time["total_s"] = round(time.perf_counter() - self.started, 6)
        record.memory = record.memory | {"peak": environment.peak_memory(spec.device)}
        try:
            self._say("%s: %s", record.status, json.dumps(record.metrics))
        except OSError as error:
            if machine_fault(error) is None:
                raise CannotWrite.from_os_error(record.folder, error, begun=True) from error
            self._failed(error)
            record.ended = record.ended | {"reason": record.status, "by": None}
        self.ended_runs.add(self)
        if stop is not None:
            raise stop

    def is_latest(self) -> bool:
        """Return False if another process has completed this run meanwhile, and it did not complete here."""
        if self.record.status in ("completed", "diverged"):
            return True
        other = read(self.record.folder)
        return other is None or other.status != "completed"

    def notify(self) -> None:
        """Call the callbacks of the run, whose record is written."""
        self.written = True
        try:
            for callback in self.callbacks:
                callback.on_run_end(self.record)
        except BaseException as error:
            reraise_interrupt(error)
            self.warn(f"a callback failed after the run: {one_line(error)}")
        if self.record.status in ("completed", "diverged"):
            checkpoint.remove(self.record.folder)

    def _write_results(self) -> None:
        """Write everything but the record: curves, the loggers' final values, the weights."""
        record, spec, run = self.record, self.spec, self.run
        if run is None:
            self._write_curves()
            return
        member, save = run.state, spec.values["save"]
        self._note_results(member)
        for line in warn_never_finite(member, member.keep_best if save == "best" else None):
            self.warn(line)
        final = {k: v for k, v in member.metrics.items() if not k.startswith(("train/", "val/"))}
        if final:
            self.curves.add(final, member.steps, member.epochs - 1)
            self.loggers.metrics(final, member.steps)
        if record.status == "completed":
            self.loggers.trained(run)
        self._write_curves()
        if save != "none" and record.status == "completed":
            best = member.best_weights if save == "best" else None
            shape = run.dataset.inputs, run.parts.task.outputs(run.dataset), run.dataset.words
            save_weights(record.folder, best or member.weights or {}, shape)
            self.files.append(record.folder / WEIGHTS)

    def _write_curves(self) -> None:
        self.curves.flush()
        self.files.append(self.curves.path)

    def _note_results(self, member: RunState) -> None:
        """Put the measured values into the record, also of a run that failed or was interrupted."""
        record, plan = self.record, self.spec.plan
        record.metrics = {k: v for k, v in member.metrics.items() if k != "train/lr"}
        higher = {name: member.direction(name) for name in record.metrics}
        record.directions = {name: better for name, better in higher.items() if better is not None}
        record.best = {
            name: best | {"higher_is_better": member.higher_is_better(name)} for name, best in member.best.items()
        }
        summaries = self.summary.rows()
        record.diagnostics = {name: row | summaries.get(name, {}) for name, row in member.diagnostics.items()}
        record.cohort["steps"] = "plain" if member.plain_because else "recorded"
        if member.plain_because:
            record.cohort["steps_why"] = member.plain_because
        samples = member.epochs * plan.n * plan.each
        record.time |= {
            "fit_s": round(member.fit_s, 6),
            "share_s": round(member.share_s, 6),
            "samples_per_s": round(samples / member.share_s, 1) if member.share_s else 0.0,
            "epochs": member.epochs,
            "steps": member.steps,
        }


def _base(spec: RunSpec) -> int:
    """Return the bytes that were in use before the run, without its data."""
    held = environment.held_memory(spec.device)
    return held if spec.device == "cuda" else max(0, held - spec.facts.bytes)


def make_member(
    values: Mapping[str, Any], parts: RunComponents, known_directions: dict[str, bool] | None = None
) -> RunState:
    """Return the state of a run before its training.

    Args:
        values: The resolved config.
        parts: The objects of the run.
        known_directions: The directions of its metrics; None to ask the metrics.
    """
    return RunState(
        parts.regularizers,
        directions(parts) if known_directions is None else known_directions,
        keep_best=values["objective"] if values["save"] == "best" else None,
        regularizer_names=list(values["regularizer"]),
    )


def write_failure(record: Record, kind: str, message: str, status: str = "failed") -> Record:
    """Write the record of a run whose process could not. Raises CannotWrite if that fails."""
    error = {"type": kind, "message": message, "traceback": None}
    ended = {"reason": status, "by": None, "epoch": int(record.time.get("epochs", 0))}
    failed = replace(record, status=status, error=error, ended=ended)
    try:
        safe_files.make_folder(record.folder)
        write(failed)
    except OSError as error:
        raise CannotWrite.from_os_error(record.folder, error) from error
    return failed
