"""One run while it is trained: what it writes at its start, at each epoch, and at its end, however that comes."""

from __future__ import annotations

import functools
import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from harness.datasets.dataset import Dataset
from harness.execution.final_diagnostics import look_at_end
from harness.execution.final_metrics import measure_at_end
from harness.execution.logging.run_loggers import RunLoggers
from harness.execution.preparation import RunSpec
from harness.modeling.builder import RunComponents
from harness.modeling.weights import save_weights
from harness.registry.instantiate import component
from harness.results import checkpoint, environment
from harness.results.curves import Curves
from harness.results.machine_faults import MACHINE_FAULT, machine_fault
from harness.results.record import Record, read, write
from harness.results.run_dir import open_folder
from harness.system import safe_files
from harness.system.errors import CannotWrite, reraise_interrupt
from harness.system.signals import Terminated
from harness.training.diagnostics.summary import Summary
from harness.training.ending import ending, never_finite
from harness.training.fit import Run
from harness.training.memory.estimate import footprint
from harness.training.run_state import RunState

FAIL_FAST = "fail_fast=true, and another run failed"
Watch = Callable[[dict[str, float], int, int], None]
log = logging.getLogger("harness")


class RunRecorder:
    """A prepared run with its folder open. It ends once: by itself, or by `fail` or `interrupt`."""

    def __init__(
        self, prepared: RunSpec, cohort: Mapping[str, Any], started: float, watchers: Sequence[Watch] = ()
    ) -> None:
        self.prepared, self.started = prepared, started
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.record = replace(
            prepared.record,
            status="running",
            time={"started": now},
            cohort=dict(cohort),
            environment=environment.describe(prepared.device),
            memory={"base": _base(prepared)},
        )
        self.ended = False
        keep = [] if prepared.checkpoint is None else [checkpoint.FILE]
        open_folder(self.record, prepared.overrides, prepared.hydra, keep)
        self.curves = Curves(self.record.folder)
        self.watchers = watchers
        self.telling = RunLoggers([], self.record)
        self.run: Run
        self.shape: tuple[tuple[int, ...], int, int | None]

    def _say(self, message: str, *args: object) -> None:
        log.info(message, *args, extra={"run_folder": self.record.folder})

    def warn(self, line: str) -> None:
        """Notes in the run's record and log a line that its reader should know."""
        if line not in self.record.warnings:
            self.record.warnings.append(line)
            log.warning("%s", line, extra={"run_folder": self.record.folder})
            if self.ended:
                self._write()

    def begin(self, parts: RunComponents, dataset: Dataset) -> Run:
        """The run as a member of a cohort."""
        values, record = self.prepared.values, self.record
        # what building the model again wants to know
        self.shape = dataset.inputs, parts.task.outputs(dataset), dataset.words
        self._say("run %s (%s) of study %s", record.id, record.name, record.study)
        if self.prepared.fresh and self.prepared.checkpoint is None:
            self.warn(self.prepared.fresh)
        parameters = list(parts.model.parameters())
        record.model = {
            "parameters": sum(p.numel() for p in parameters),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        }
        record.memory |= {"estimate": self._estimate(parts, dataset), "peak": None}
        where = {"run_dir": str(record.folder), "name": record.name, "in_sweep": bool(record.cohort["sweep"])}
        loggers = [component("logger", node, **where) for node in values["logger"].values()]
        self.telling = RunLoggers(loggers, record)
        member = make_member(values, parts)
        member.watchers = [self.curves.add, self._to_loggers, *self.watchers]
        self.found = Summary()
        member.lookers = [self.curves.look, self._looked, self.found.add]
        member.ended = self._left
        if self.prepared.plan.checkpoint_every:
            member.save = functools.partial(checkpoint.save, record.folder, record.id, record.cohort["path"])
        self.run = Run(parts, self.prepared.plan, dataset, member, self.prepared.checkpoint)
        self.telling.begin(self.run, self.prepared.overrides)
        return self.run

    def _to_loggers(self, metrics: dict[str, float], step: int, epoch: int) -> None:
        self.telling.metrics(metrics, step)

    def _looked(self, found: dict[str, Any], step: int, epoch: int) -> None:
        self.telling.look(found, step)

    def _estimate(self, parts: RunComponents, dataset: Dataset) -> int | None:
        try:
            return footprint(parts, dataset, self.prepared.plan, self.prepared.device).total()
        except BaseException as error:  # the run's own failure, which its first step will tell
            reraise_interrupt(error)
            return None

    def _left(self) -> None:
        """The member has left its cohort. One whose optimizer raised in a stack has not ended: who is to blame, and
        whether it does so alone, is for the cohort to find out.
        """
        member = self.run.member
        if member.failed is not None:
            if not member.sharers:
                self.fail(member.failed)
            return
        self.record.status = "diverged" if member.diverged else "completed"
        self.record.error = member.diverged
        try:
            measure_at_end(self.run)
            if found := look_at_end(self.run):
                for look in member.lookers:
                    look(found, member.steps, max(0, member.epochs - 1))
        except BaseException as error:  # a metric's own, or a logger's
            reraise_interrupt(error)
            self._failed(error)
        self._end()

    def fail(self, error: BaseException) -> None:
        """The run ends with an exception, unless it has ended: it has failed, or the machine has (`interrupted`)."""
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
        """Lets go of what was trained and of its data; the record stays."""
        if hasattr(self, "run"):
            del self.run

    def interrupt(self, kind: str = "KeyboardInterrupt", message: str = "interrupted by the user") -> None:
        """The run ends because the user wants it, unless it has ended."""
        if self.ended:
            return
        self.record.status = "interrupted"
        self.record.error = {"type": kind, "message": message, "traceback": None}
        self._end()

    def _end(self) -> None:
        """Raises CannotWrite where the record cannot be written: on disk the run is then still `running`."""
        self.ended = True
        record, prepared = self.record, self.prepared
        stop: BaseException | None = None
        for last in (self._leave_behind, self.telling.end):  # loggers are told how all else came out
            try:
                last()
            except BaseException as error:  # a logger's, or a disk's that is full: whatever it is, a record is written
                if type(error) in (KeyboardInterrupt, Terminated):
                    stop = error
                    continue
                if record.status != "interrupted":
                    self._failed(error)
        member = self.run.member if hasattr(self, "run") else None
        record.steps, record.ended = ending(record.status, member, prepared.plan)
        record.time["total_s"] = round(time.perf_counter() - self.started, 6)
        record.memory = record.memory | {"peak": environment.peak_memory(prepared.device)}
        try:
            self._say("%s: %s", record.status, json.dumps(record.metrics))
        except OSError as error:
            if machine_fault(error) is None:
                raise CannotWrite.from_os_error(record.folder, error, begun=True) from error
            self._failed(error)
            record.ended = record.ended | {"reason": record.status, "by": None}
        self._write()
        if record.status in ("completed", "diverged"):
            checkpoint.remove(record.folder)
        if stop is not None:
            raise stop

    def _write(self) -> None:
        record = self.record
        try:
            other = read(record.folder)  # another process may have completed this run meanwhile: that is kept
            if record.status in ("completed", "diverged") or other is None or other.status != "completed":
                write(record)
        except OSError as error:
            raise CannotWrite.from_os_error(record.folder, error, begun=True) from error

    def _leave_behind(self) -> None:
        """All but the record: what was measured, what loggers take of it, the weights."""
        record, prepared = self.record, self.prepared
        if hasattr(self, "run"):
            member = self.run.member
            self._measured(member)
            for line in never_finite(member, member.keep_best if prepared.values["save"] == "best" else None):
                self.warn(line)
            final = {k: v for k, v in member.metrics.items() if not k.startswith(("train/", "val/"))}
            if final:
                self.curves.add(final, member.steps, member.epochs - 1)
                self.telling.metrics(final, member.steps)
            if record.status == "completed":
                self.telling.trained(self.run)
        self.curves.flush()
        if hasattr(self, "run") and prepared.values["save"] != "none" and record.status == "completed":
            best = self.run.member.best_weights if prepared.values["save"] == "best" else None
            save_weights(record.folder, best or self.run.member.weights or {}, self.shape)

    def _measured(self, member: RunState) -> None:
        """What was measured stands in the record also of a run that failed or was interrupted."""
        record, plan = self.record, self.prepared.plan
        record.metrics = {k: v for k, v in member.metrics.items() if k != "train/lr"}
        record.best = {
            name: best | {"higher_is_better": member.higher_is_better(name)} for name, best in member.best.items()
        }
        found = self.found.rows()
        record.diagnostics = {name: row | found.get(name, {}) for name, row in member.diagnosed.items()}
        seen = member.epochs * plan.n * plan.each
        record.time |= {
            "fit_s": round(member.fit_s, 6),
            "share_s": round(member.share_s, 6),
            "samples_per_s": round(seen / member.share_s, 1) if member.share_s else 0.0,
            "epochs": member.epochs,
            "steps": member.steps,
        }


def _base(prepared: RunSpec) -> int:
    """What was held before the run, without its data."""
    held = environment.held_memory(prepared.device)
    return held if prepared.device == "cuda" else max(0, held - prepared.facts.bytes)


def make_member(values: Mapping[str, Any], parts: RunComponents) -> RunState:
    """What a run leaves while it trains, before anything has been measured."""
    return RunState(
        parts.regularizers,
        {name: bool(make().higher_is_better) for name, make in parts.metrics.items()}
        | {name: metric.higher_is_better for name, metric in parts.at_end.items()},
        keep_best=values["objective"] if values["save"] == "best" else None,
        names=list(values["regularizer"]),
    )


def write_failure(record: Record, kind: str, message: str, status: str = "failed") -> Record:
    """Records a run that could not do it itself: whoever has noticed does. Raises CannotWrite where that fails."""
    error = {"type": kind, "message": message, "traceback": None}
    ended = {"reason": status, "by": None, "epoch": int(record.time.get("epochs", 0))}
    failed = replace(record, status=status, error=error, ended=ended)
    try:
        safe_files.make_folder(record.folder)
        write(failed)
    except OSError as error:
        raise CannotWrite.from_os_error(record.folder, error) from error
    return failed
