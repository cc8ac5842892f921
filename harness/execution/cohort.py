"""Train prepared runs of one study: alone, or as one stack, which is halved where it fails; each run is recorded."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from pytorch_lightning import Callback, Trainer

from harness.datasets.dataset import Dataset
from harness.execution.locks.run_lock import RunLocks
from harness.execution.preparation import RunSpec
from harness.execution.resuming import find_checkpoint
from harness.execution.run_recorder import FAIL_FAST, EndedRuns, RunRecorder
from harness.execution.sweep.grouping import unfusable
from harness.execution.sweep.progress import EpochProgress
from harness.modeling.builder import RunComponents, build_kept
from harness.results.index import by_id
from harness.results.machine_faults import MACHINE_FAULT, blames_machine, machine_fault
from harness.results.record import Record
from harness.results.run_dir import log_files
from harness.system.errors import CannotWrite, one_line, reraise_interrupt
from harness.system.process_state import ignore, kept
from harness.system.signals import reason
from harness.training.fit import Run, fit, make_trainer
from harness.training.resources import is_out_of_memory
from harness.training.run_callback import RunCallback
from harness.training.run_state import RunState
from harness.training.vectorized.lifting import NotStackable, RestackDifferently, TrainSeparately


@dataclass(frozen=True)
class CohortPlan:
    """The way a cohort is trained, with the reason."""

    path: str = "alone"
    why: str = "one run at a time"
    executor: str = "in_process"
    forced: bool = False  # a run that cannot be stacked then fails, and is not trained alone
    sweep: str = ""  # the launch that the cohort belongs to


class CohortRunner:
    """Trains runs whose locks this process holds."""

    def __init__(
        self, specs: Sequence[RunSpec], plan: CohortPlan, callbacks: Sequence[RunCallback], locks: RunLocks
    ) -> None:
        self.specs, self.plan, self.callbacks, self.locks = list(specs), plan, tuple(callbacks), locks
        self.started = time.perf_counter()
        self.recorders: dict[str, RunRecorder] = {}  # by run ID; of the latest attempt
        self.ended = EndedRuns()

    def train(self) -> list[RunRecorder]:
        """Train all runs. A failure of a stack is searched for in halves of it."""
        try:
            if self.plan.path == "fused":
                return self._train_stack(self.specs, self.plan.why)
            done: list[RunRecorder] = []
            for spec in self.specs:
                if self.ended_by is None:
                    done.append(self._train_single(spec, self.plan.why))
            return done
        except KeyboardInterrupt as error:
            for recorder in self.recorders.values():
                recorder.interrupt(*reason(error))
            self.ended.write()
            raise
        except CannotWrite as error:
            error.begun = error.begun or bool(self.recorders)
            with suppress(CannotWrite):
                for recorder in self.recorders.values():
                    recorder.interrupt(MACHINE_FAULT, str(error))
                self.ended.write()
            raise

    def _open(self, spec: RunSpec, size: int, path: str, why: str, progress: EpochProgress) -> RunRecorder:
        cohort = {"size": size, "path": path, "executor": self.plan.executor, "why": why, "sweep": self.plan.sweep}
        callbacks = [progress, *self.callbacks]
        recorder = self.recorders[spec.record.id] = RunRecorder(spec, cohort, self.started, self.ended, callbacks)
        return recorder

    @property
    def ended_by(self) -> tuple[str, str] | None:
        """The type and the message of the error that ends the cohort; None while there is none."""
        for recorder in self.recorders.values():
            if blames_machine(recorder.record):
                return MACHINE_FAULT, str((recorder.record.error or {})["message"])
            if recorder.record.status == "failed" and recorder.spec.values["fail_fast"]:
                return "FailFast", FAIL_FAST
        return None

    def _progress(self, specs: Sequence[RunSpec]) -> EpochProgress:
        return EpochProgress(self.locks, [spec.record.id for spec in specs], specs[0].plan.epochs)

    def _train_single(self, spec: RunSpec, why: str) -> RunRecorder:
        """Train one run alone: load its data, build its objects, fit them. Its recorder measures and records."""
        recorder = self._open(spec, 1, "alone", why, self._progress([spec]))
        with self._recording([recorder]):
            dataset = spec.dataset
            with kept(functools.partial(_warn_all, [recorder])):
                run = recorder.begin(build_parts(spec, dataset), dataset)
            trainer, spec.trainer = spec.trainer, None
            trainer = trainer or make_trainer(spec.values["trainer"], spec.plan, payload(spec), spec.record.folder)
            recorder.record.cohort["processes"] = trainer.world_size
            self._fit(trainer, [recorder], [run])
        recorder.forget()
        return recorder

    def _fit(self, trainer: Trainer, recorders: list[RunRecorder], runs: list[Run], fused: bool = False) -> None:
        trainer.callbacks.append(WriteEnded(self.ended))  # type: ignore[attr-defined]
        with kept(functools.partial(_warn_all, recorders)):
            fit(trainer, runs, fused)

    def _train_stack(self, specs: list[RunSpec], why: str) -> list[RunRecorder]:
        """Train runs as one stack. Those that cannot be part of it are trained alone, unless the path is forced."""
        progress = self._progress(specs)
        recorders = [self._open(spec, len(specs), "fused", why, progress) for spec in specs]
        with self._recording(recorders, unless_raised=(BaseException,)) as errors:
            started = [(recorder, run) for recorder in recorders if (run := self._start(recorder)) is not None]
            runs = [run for _, run in started]
            if runs and self.ended_by is None:
                if reason := unfusable(specs[0]):
                    raise _CannotStack(reason)
                trainer = make_trainer(specs[0].values["trainer"], specs[0].plan, "")
                if trainer.world_size > 1:
                    raise _CannotStack("several processes train one run")
                self._fit(trainer, recorders, runs, fused=True)
        error = errors[0] if errors else None
        if error is not None and machine_fault(error) is not None:
            for recorder in recorders:  # every run would meet it again
                if not recorder.ended:
                    self._fail(recorder, error)
            return recorders
        done = [recorder for recorder in recorders if recorder.ended]
        if isinstance(error, (TrainSeparately, RestackDifferently)):
            rows = error.rows if isinstance(error, TrainSeparately) else ()
            separate = [recorder for row, (recorder, _) in enumerate(started) if row in rows and not recorder.ended]
            return done + self._restack(recorders, separate, error, why)
        return done + self._train_in_halves([recorder for recorder in recorders if not recorder.ended], error)

    def _start(self, recorder: RunRecorder) -> Run | None:
        """Build a run of a stack; return None if it cannot be built, which is its failure."""
        try:
            dataset = recorder.spec.dataset
            with kept(functools.partial(_warn_all, [recorder])):
                run = recorder.begin(build_parts(recorder.spec, dataset), dataset)
            if recorder.spec.values["fail_fast"]:
                run.state.callbacks.append(FailFast())
            return run
        except BaseException as error:
            reraise_interrupt(error)
            self._fail(recorder, error)
            return None

    def _train_in_halves(self, remaining: list[RunRecorder], error: BaseException | None) -> list[RunRecorder]:
        """Train the runs that a failed stack left, in halves, until the runs that fail are alone.

        A run's result does not depend on its company: the other runs come out as if they had never been stacked with
        those that fail.

        Args:
            remaining: The runs that have not ended.
            error: The exception that ended the whole stack, if there was one.
        """
        if isinstance(error, _StopStack):  # the run that failed comes first: none is trained after it
            remaining, error = sorted(remaining, key=lambda r: _failure(r) is None), None
        suspects = [] if isinstance(error, _CannotStack) else [r for r in remaining if _own_failure(r) is None]
        if len(suspects) == 1 and (error or _failure(suspects[0])):
            suspects = []
        done: list[RunRecorder] = []
        for r in remaining:
            if self.ended_by is not None:
                done.append(self._interrupt(r))
            elif r not in suspects:
                done.append(self._train_unstacked(r, _own_failure(r) or _failure(r) or error))
        suspects = [r for r in suspects if r not in done]
        if self.ended_by is not None or not suspects:
            return done + [self._interrupt(r) for r in suspects]
        error = error or _failure(suspects[0])
        fault = (
            "did not fit in memory" if is_out_of_memory(error) else f"raised {one_line(error)}" if error else "failed"
        )
        why = f"{self.plan.why}; halved, for {len(suspects)} {fault}"
        specs, middle = [r.spec for r in suspects], len(suspects) // 2
        for half in filter(None, (specs[:middle], specs[middle:])):
            done += self._train_stack(half, why)
        return done

    def _restack(
        self, recorders: list[RunRecorder], separate: list[RunRecorder], error: BaseException, why: str
    ) -> list[RunRecorder]:
        """Train some runs of a stack alone, and stack the others again."""
        done = [self._interrupt(r) if self.ended_by is not None else self._train_unstacked(r, error) for r in separate]
        remaining = [r for r in recorders if not r.ended and r not in separate]
        if self.ended_by is not None:
            return done + [self._interrupt(r) for r in remaining]
        return done + (self._train_stack([r.spec for r in remaining], why) if remaining else [])

    def _interrupt(self, recorder: RunRecorder) -> RunRecorder:
        """End a run that is not trained further, since another run or the machine has failed."""
        assert self.ended_by is not None
        recorder.interrupt(*self.ended_by)
        self._release([recorder])
        return recorder

    def _train_unstacked(self, recorder: RunRecorder, error: BaseException | None) -> RunRecorder:
        """Train a run alone that cannot be stacked; where the path is forced, that is its failure."""
        assert error is not None
        if self.plan.forced:
            self._fail(recorder, error)
            return recorder
        return self._train_single(recorder.spec, f"cannot be fused: {one_line(error)}")

    def _fail(self, recorder: RunRecorder, error: BaseException) -> None:
        recorder.fail(error)
        self._release([recorder])

    def _release(self, recorders: Sequence[RunRecorder]) -> None:
        """Release the locks of the runs that have ended, once their records are written."""
        self.ended.write()
        self.locks.release([recorder.record.id for recorder in recorders if recorder.ended])

    @contextmanager
    def _recording(
        self, recorders: Sequence[RunRecorder], unless_raised: tuple[type[BaseException], ...] = ()
    ) -> Iterator[list[BaseException]]:
        """Context that logs into the folders of runs. An exception fails the runs that have not ended.

        Args:
            recorders: The runs.
            unless_raised: Exceptions that fail no run. They are appended to the list that the context yields, and the
                caller trains the runs another way.
        """
        errors: list[BaseException] = []
        try:
            with log_files([recorder.record.folder for recorder in recorders]), kept(ignore):
                yield errors
        except CannotWrite:
            raise
        except unless_raised as error:
            reraise_interrupt(error)
            errors.append(error)
        except BaseException as error:
            reraise_interrupt(error)
            for recorder in recorders:
                if not recorder.ended:
                    recorder.fail(error)
        finally:
            self._release(recorders)


def _warn_all(recorders: Sequence[RunRecorder], line: str) -> None:
    for recorder in recorders:
        recorder.warn(line)


class WriteEnded(Callback):
    """Write the records of runs that leave their stack before its end."""

    def __init__(self, ended: EndedRuns) -> None:
        self.ended = ended

    def on_train_batch_end(self, *_: object) -> None:
        self.ended.write()


class _StopStack(RuntimeError):
    """A run has failed, and fail_fast ends the stack."""


class FailFast(RunCallback):
    """Ends the stack of a run that has failed."""

    def on_training_end(self, state: RunState) -> None:
        if state.failed is not None:
            raise _StopStack(FAIL_FAST)


class _CannotStack(NotStackable):
    """Runs that cannot be stacked with any others."""


def _failure(recorder: RunRecorder) -> BaseException | None:
    """Return the exception that the run's optimizer raised in a stack."""
    return None if recorder.run is None else recorder.run.state.failed


def _own_failure(recorder: RunRecorder) -> BaseException | None:
    """Return the exception that the run's optimizer raised in a stack, if it steps no other run."""
    alone = recorder.run is not None and recorder.run.state.failed_optimizer_runs == 1
    return _failure(recorder) if alone else None


def build_parts(spec: RunSpec, dataset: Dataset) -> RunComponents:
    """Build the objects of a run, for a caller that keeps the state of the process."""
    return build_kept(spec.values, dataset, spec.plan.total_steps, spec.probe)


def payload(spec: RunSpec) -> str:
    """Return what another process of a distributed run needs to know, as JSON."""
    return json.dumps({"overrides": spec.overrides, "values": spec.asked, "id": spec.record.id})


def train_cohort(
    specs: Sequence[RunSpec], plan: CohortPlan, callbacks: Sequence[RunCallback] = ()
) -> list[Record | None]:
    """Train prepared runs of one study, and record them.

    Args:
        specs: The runs, of one shape if the plan's path is fused.
        plan: How they are trained.
        callbacks: Callbacks of every run.

    Returns:
        The records, in the order of the runs; None for a run that a living process trains elsewhere, or that fail_fast
        or a fault of the machine left untrained.

    Raises:
        KeyboardInterrupt: If the user interrupts; the runs are recorded as interrupted.
        CannotWrite: If a record cannot be written.
    """
    records: dict[str, Record | None] = {}
    study = specs[0].record.folder.parent
    with RunLocks(study) as locks:
        ours = set(locks.claim([spec.record.id for spec in specs]))
        folders = by_id(study, ours)  # another launch may have begun a run meanwhile, under other overrides
        todo = []
        for spec in specs:
            if spec.record.id not in ours:
                continue
            spec.record.folder = folders.get(spec.record.id, spec.record.folder)
            record = spec.finished()  # another launch may have completed it meanwhile
            if record is None:
                todo.append(spec)
            else:
                records[spec.record.id] = record
                locks.release(record.id)
        for part, its_plan in _by_checkpoint(todo, plan):
            runner = CohortRunner(part, its_plan, callbacks, locks)
            records |= {recorder.record.id: recorder.record for recorder in runner.train()}
            if runner.ended_by is not None:
                break
    return [records.get(spec.record.id) for spec in specs]


def _by_checkpoint(specs: Sequence[RunSpec], plan: CohortPlan) -> Iterator[tuple[list[RunSpec], CohortPlan]]:
    """Yield the runs that start at the same epoch, with their plan: a run resumes on the path of its checkpoint."""
    starts: dict[tuple[str, int], list[RunSpec]] = {}
    for spec in specs:
        spec.checkpoint = find_checkpoint(spec)[0] if spec.values["resume"] else None
        start = (plan.path, 0)
        if spec.checkpoint is not None:
            start = spec.checkpoint["path"], spec.checkpoint["member"]["epochs"]
        starts.setdefault(start, []).append(spec)
    for (path, epoch), part in starts.items():
        yield part, replace(plan, path=path, why=f"goes on after epoch {epoch}, as it began") if epoch else plan
