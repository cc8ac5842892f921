"""Some runs that are ours to train: as one stack if that can be, in halves where it goes wrong, and each recorded."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from harness.datasets.dataset import Dataset
from harness.execution.locks.run_lock import RunLocks
from harness.execution.preparation import RunSpec
from harness.execution.resuming import find
from harness.execution.run_recorder import FAIL_FAST, RunRecorder
from harness.execution.sweep.grouping import unfusable
from harness.execution.sweep.progress import EpochProgress
from harness.modeling.builder import RunComponents, build
from harness.modeling.profile import Probe
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
    """How a cohort is trained, and why so. `sweep` names the launch that it belongs to."""

    path: str = "alone"
    why: str = "one run at a time"
    executor: str = "in_process"
    forced: bool = False  # what cannot be fused is then a failure, and is not trained another way
    sweep: str = ""


class CohortRunner:
    """Some runs that are ours to train."""

    def __init__(
        self, members: Sequence[RunSpec], how: CohortPlan, callbacks: Sequence[RunCallback], claims: RunLocks
    ) -> None:
        self.members, self.how, self.callbacks, self.claims = list(members), how, tuple(callbacks), claims
        self.started = time.perf_counter()
        self.probed: Probe | None = None
        self.opened: dict[str, RunRecorder] = {}  # the latest attempt of each

    def train(self) -> list[RunRecorder]:
        """Trains them all. What goes wrong in a stack is looked for in halves of it."""
        try:
            if self.how.path == "fused":
                return self._fused(self.members, self.how.why)
            done: list[RunRecorder] = []
            for member in self.members:
                if self.ended_by is None:
                    done.append(self._alone(member, self.how.why))
            return done
        except KeyboardInterrupt as error:
            for running in self.opened.values():
                running.interrupt(*reason(error))
            raise
        except CannotWrite as error:
            error.begun = error.begun or bool(self.opened)
            with suppress(CannotWrite):
                for running in self.opened.values():
                    running.interrupt(MACHINE_FAULT, str(error))
            raise

    def _open(self, member: RunSpec, size: int, path: str, why: str, pace: EpochProgress) -> RunRecorder:
        cohort = {"size": size, "path": path, "executor": self.how.executor, "why": why, "sweep": self.how.sweep}
        callbacks = [pace, *self.callbacks]
        running = self.opened[member.record.id] = RunRecorder(member, cohort, self.started, callbacks)
        return running

    @property
    def ended_by(self) -> tuple[str, str] | None:
        """Why no further run is trained, as the type and the message of an error; None while nothing has ended it."""
        for running in self.opened.values():
            if blames_machine(running.record):
                return MACHINE_FAULT, str((running.record.error or {})["message"])
            if running.record.status == "failed" and running.prepared.values["fail_fast"]:
                return "FailFast", FAIL_FAST
        return None

    def _pace(self, members: Sequence[RunSpec]) -> EpochProgress:
        return EpochProgress(self.claims, [member.record.id for member in members], members[0].plan.epochs)

    def _alone(self, member: RunSpec, why: str) -> RunRecorder:
        running = self._open(member, 1, "alone", why, self._pace([member]))
        with self._recorded([running]):
            dataset = member.dataset
            with kept(functools.partial(_tell, [running])):
                run = running.begin(build_parts(member, dataset), dataset)
            trainer = make_trainer(member.values["trainer"], member.plan, payload(member))
            running.record.cohort["processes"] = trainer.world_size
            with kept(functools.partial(_tell, [running])):
                fit(trainer, [run])
        running.forget()
        return running

    def _fused(self, members: list[RunSpec], why: str) -> list[RunRecorder]:
        pace = self._pace(members)
        opened = [self._open(member, len(members), "fused", why, pace) for member in members]
        with self._recorded(opened, unless_raised=(BaseException,)) as troubles:
            begun = [(running, run) for running in opened if (run := self._begun(running)) is not None]
            runs = [run for _, run in begun]
            if runs and self.ended_by is None:
                if reason := unfusable(members[0]):
                    raise _NoStack(reason)
                trainer = make_trainer(members[0].values["trainer"], members[0].plan, "")
                if trainer.world_size > 1:
                    raise _NoStack("several processes train one run")
                with kept(functools.partial(_tell, opened)):
                    fit(trainer, runs, fused=True)
        trouble = troubles[0] if troubles else None
        if trouble is not None and machine_fault(trouble) is not None:
            for running in opened:  # all of them would meet it again
                if not running.ended:
                    running.fail(trouble)
                    self.claims.release(running.record.id)
            return opened
        done = [running for running in opened if running.ended]
        if isinstance(trouble, (TrainSeparately, RestackDifferently)):
            rows = trouble.rows if isinstance(trouble, TrainSeparately) else ()
            apart = [running for row, (running, _) in enumerate(begun) if row in rows and not running.ended]
            return done + self._in_another_way(opened, apart, trouble, why)
        return done + self._again([running for running in opened if not running.ended], trouble)

    def _begun(self, running: RunRecorder) -> Run | None:
        """The run as a member; None, and a failed record, where it cannot be built."""
        try:
            dataset = running.prepared.dataset
            with kept(functools.partial(_tell, [running])):
                parts = build_parts(running.prepared, dataset, self.probed)
                self.probed = parts.probe  # members are of one shape
                run = running.begin(parts, dataset)
            if running.prepared.values["fail_fast"]:
                run.state.callbacks.append(FailFast())
            return run
        except BaseException as error:
            reraise_interrupt(error)
            running.fail(error)
            self.claims.release(running.record.id)
            return None

    def _again(self, left: list[RunRecorder], trouble: BaseException | None) -> list[RunRecorder]:
        """Members that a stack did not train: in halves, until those whose fault it is are by themselves.

        `trouble` is what ended the whole stack, if something did. A run's result does not depend on who is stacked
        with it: the innocent come out as if they had never met the others.
        """
        if isinstance(trouble, _Enough):  # who failed is known, and comes first: the others are not trained after it
            left, trouble = sorted(left, key=lambda r: _failure(r) is None), None
        doubtful = [] if isinstance(trouble, _NoStack) else [r for r in left if _blamed(r) is None]
        if len(doubtful) == 1 and (trouble or _failure(doubtful[0])):
            doubtful = []
        found: list[RunRecorder] = []
        for r in left:
            if self.ended_by is not None:
                found.append(self._dropped(r))
            elif r not in doubtful:
                found.append(self._by_itself(r, _blamed(r) or _failure(r) or trouble))
        doubtful = [r for r in doubtful if r not in found]
        if self.ended_by is not None or not doubtful:
            return found + [self._dropped(r) for r in doubtful]
        error = trouble or _failure(doubtful[0])
        fault = (
            "did not fit in memory" if is_out_of_memory(error) else f"raised {one_line(error)}" if error else "failed"
        )
        why = f"{self.how.why}; halved, for {len(doubtful)} {fault}"
        members, middle = [r.prepared for r in doubtful], len(doubtful) // 2
        for half in filter(None, (members[:middle], members[middle:])):
            found += self._fused(half, why)
        return found

    def _in_another_way(
        self, opened: list[RunRecorder], apart: list[RunRecorder], trouble: BaseException, why: str
    ) -> list[RunRecorder]:
        """Trains some members of a stack alone, and stacks the others again."""
        found = [self._dropped(r) if self.ended_by is not None else self._by_itself(r, trouble) for r in apart]
        left = [r for r in opened if not r.ended and r not in apart]
        if self.ended_by is not None:
            return found + [self._dropped(r) for r in left]
        return found + (self._fused([r.prepared for r in left], why) if left else [])

    def _dropped(self, running: RunRecorder) -> RunRecorder:
        """One that is not trained on, since another has failed or the machine has."""
        assert self.ended_by is not None
        running.interrupt(*self.ended_by)
        self.claims.release(running.record.id)
        return running

    def _by_itself(self, running: RunRecorder, error: BaseException | None) -> RunRecorder:
        """One that cannot be in a stack: a failure if it has to, else trained alone."""
        assert error is not None
        if not self.how.forced:
            return self._alone(running.prepared, f"cannot be fused: {one_line(error)}")
        running.fail(error)
        self.claims.release(running.record.id)
        return running

    @contextmanager
    def _recorded(
        self, opened: Sequence[RunRecorder], unless_raised: tuple[type[BaseException], ...] = ()
    ) -> Iterator[list[BaseException]]:
        """Inside, what is said goes to the runs' logs; an exception ends those that have not ended.

        One of `unless_raised` is kept in what this yields instead, for another way to be tried.
        """
        troubles: list[BaseException] = []
        try:
            with log_files([running.record.folder for running in opened]), kept(ignore):
                yield troubles
        except CannotWrite:
            raise
        except unless_raised as error:
            reraise_interrupt(error)
            troubles.append(error)
        except BaseException as error:
            reraise_interrupt(error)
            for running in opened:
                if not running.ended:
                    running.fail(error)
        finally:
            for running in opened:
                if running.ended:
                    self.claims.release(running.record.id)


def _tell(opened: Sequence[RunRecorder], line: str) -> None:
    for running in opened:
        running.warn(line)


class _Enough(RuntimeError):
    """A member has failed, and fail_fast ends the stack."""


class FailFast(RunCallback):
    """Ends the stack of a run that has failed."""

    def on_training_end(self, state: RunState) -> None:
        if state.failed is not None:
            raise _Enough(FAIL_FAST)


class _NoStack(NotStackable):
    """These runs cannot be stacked in whatever company."""


def _failure(running: RunRecorder) -> BaseException | None:
    """What the member's optimizer raised in a stack."""
    return running.run.state.failed if hasattr(running, "run") else None


def _blamed(running: RunRecorder) -> BaseException | None:
    """The same, if no one else was stepped by that optimizer."""
    return _failure(running) if _failure(running) and running.run.state.failed_optimizer_runs == 1 else None


def build_parts(prepared: RunSpec, dataset: Dataset, probed: Probe | None = None) -> RunComponents:
    return build(prepared.values, dataset, prepared.plan.total_steps, probed)


def payload(prepared: RunSpec) -> str:
    """What another process of this run has to know."""
    return json.dumps({"overrides": prepared.overrides, "values": prepared.asked, "id": prepared.record.id})


def train_cohort(
    members: Sequence[RunSpec], how: CohortPlan, callbacks: Sequence[RunCallback] = ()
) -> list[Record | None]:
    """Trains prepared runs of one study, as one program if `how` says so, and returns their records in order; None
    for one that a living process trains elsewhere, or that fail_fast or a fault of the machine left untrained. Raises
    KeyboardInterrupt after recording it.
    """
    found: dict[str, Record | None] = {}
    study = members[0].record.folder.parent
    with RunLocks(study) as claims:
        ours = set(claims.claim([m.record.id for m in members]))
        stands = by_id(study, ours)  # another launch may have begun it meanwhile, under overrides written otherwise
        todo = []
        for member in members:
            member.record.folder = stands.get(member.record.id, member.record.folder)
            done = member.finished() if member.record.id in ours else None  # another may have completed it meanwhile
            found[member.record.id] = done
            if member.record.id in ours and done is None:
                todo.append(member)
            elif done is not None:
                claims.release(done.id)
        if todo:
            for some, way in _begun_where(todo, how):
                attempt = CohortRunner(some, way, callbacks, claims)
                for running in attempt.train():
                    found[running.record.id] = running.record
                if attempt.ended_by is not None:
                    break
    return [found.get(m.record.id) for m in members]


def _begun_where(members: Sequence[RunSpec], how: CohortPlan) -> Iterator[tuple[list[RunSpec], CohortPlan]]:
    """Members that begin at the same epoch: those that go on from a checkpoint do so on the path that made it."""
    places: dict[tuple[str, int], list[RunSpec]] = {}
    for member in members:
        kept = find(member)[0] if member.values["resume"] else None
        if kept is not None:
            member.checkpoint = kept
            places.setdefault((kept["path"], kept["member"]["epochs"]), []).append(member)
        else:
            places.setdefault((how.path, 0), []).append(member)
    for (path, epoch), some in places.items():
        yield some, replace(how, path=path, why=f"goes on after epoch {epoch}, as it began") if epoch else how
