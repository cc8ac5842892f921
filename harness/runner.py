"""From prepared runs to complete records: one run, or a cohort of them, whatever happens on the way."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from harness import checkpoint
from harness.app import Job
from harness.build import Parts, build
from harness.errors import CannotWrite, HarnessError, one_line
from harness.folder import log_files
from harness.learner.fit import Run, fit, make_trainer
from harness.learner.lift import Unlike
from harness.learner.memory import out_of_memory
from harness.load_data import Loader, warn_of_overlap
from harness.owner import Claims
from harness.pace import Pace
from harness.prepare import Preparation, Prepared, refuse_stale
from harness.probe import Probe
from harness.record import Record
from harness.running import Running, Watch, make_member


@dataclass(frozen=True)
class How:
    """How a cohort is trained, and why so. `sweep` names the launch that it belongs to."""

    path: str = "alone"
    why: str = "one run at a time"
    executor: str = "in_process"
    forced: bool = False  # what cannot be fused is then a failure, and is not trained another way
    sweep: str = ""


def train(job: Job, watch: Watch | None = None, loader: Loader | None = None) -> Record:
    """Trains a job in this process, unless a complete record of its identity stands in its study.

    Raises HarnessError for bad input, with nothing written, and KeyboardInterrupt after recording it. What goes
    wrong in training is a failed record, and no exception.
    """
    preparation = Preparation(loader)
    prepared = preparation.prepare(job)
    done = prepared.finished()
    if done is not None:
        return done
    fused = job.settings.path == "fused"
    how = How("fused", "path=fused", forced=True) if fused else How()
    make_trainer(prepared.values["trainer"], prepared.plan, "")  # what Lightning refuses is bad input
    refuse_stale([prepared])
    warn_of_overlap(prepared.data, prepared.values)
    (record,) = train_cohort([prepared], how, preparation.loader, watch)
    if record is None:
        raise HarnessError(f"another process trains this run now: {prepared.record.folder}")
    return record


def train_cohort(
    members: Sequence[Prepared], how: How, loader: Loader, watch: Watch | None = None
) -> list[Record | None]:
    """Trains prepared runs of one study, as one program if `how` says so, and returns their records in order; None
    for one that a living process trains elsewhere. Raises KeyboardInterrupt after recording it.
    """
    found: dict[str, Record | None] = {}
    with Claims(members[0].record.folder.parent) as claims:
        ours = set(claims.claim([m.record.id for m in members]))
        todo = []
        for member in members:
            done = member.finished() if member.record.id in ours else None  # another may have completed it meanwhile
            found[member.record.id] = done
            if member.record.id in ours and done is None:
                todo.append(member)
            elif done is not None:
                claims.release(done.id)
        if todo:
            for member in todo:
                member.loaded = loader.load(member.values)
            for some, way in _begun_where(todo, how):
                for running in _Cohort(some, way, watch, claims).train():
                    found[running.record.id] = running.record
    return [found[m.record.id] for m in members]


def _begun_where(members: Sequence[Prepared], how: How) -> Iterator[tuple[list[Prepared], How]]:
    """Members that begin at the same epoch: those that go on from a checkpoint do so on the path that made it."""
    places: dict[tuple[str, int], list[Prepared]] = {}
    for member in members:
        kept = checkpoint.read(member.record.folder, member.record.id) if member.values["resume"] else None
        if kept is not None and member.values["path"] in ("auto", kept["path"]):
            member.checkpoint = kept
            places.setdefault((kept["path"], kept["member"]["epochs"]), []).append(member)
        else:
            places.setdefault((how.path, 0), []).append(member)
    for (path, epoch), some in places.items():
        yield some, replace(how, path=path, why=f"goes on after epoch {epoch}, as it began") if epoch else how


class _Cohort:
    """Some runs that are ours to train."""

    def __init__(self, members: Sequence[Prepared], how: How, watch: Watch | None, claims: Claims) -> None:
        self.members, self.how, self.watch, self.claims = list(members), how, watch, claims
        self.started = time.perf_counter()
        self.probed: Probe | None = None
        self.opened: dict[str, Running] = {}  # the latest attempt of each

    def train(self) -> list[Running]:
        """Trains them all. What goes wrong in a stack is looked for in halves of it."""
        try:
            if self.how.path == "fused":
                return self._fused(self.members, self.how.why)
            return [self._alone(member, self.how.why) for member in self.members]
        except KeyboardInterrupt:
            for running in self.opened.values():
                running.interrupt()
            raise
        except CannotWrite as error:
            with suppress(CannotWrite):
                for running in self.opened.values():
                    running.fail(error)
            raise

    def _open(self, member: Prepared, size: int, path: str, why: str, pace: Pace) -> Running:
        cohort = {"size": size, "path": path, "executor": self.how.executor, "why": why, "sweep": self.how.sweep}
        watchers = [pace.epoch] if self.watch is None else [pace.epoch, self.watch]
        running = self.opened[member.record.id] = Running(member, cohort, self.started, watchers)
        return running

    def _pace(self, members: Sequence[Prepared]) -> Pace:
        return Pace(self.claims, [member.record.id for member in members], members[0].plan.epochs)

    def _alone(self, member: Prepared, why: str) -> Running:
        running = self._open(member, 1, "alone", why, self._pace([member]))
        with self._recorded([running]):
            run = running.begin(_build(member))
            trainer = make_trainer(member.values["trainer"], member.plan, _payload(member))
            running.record.cohort["processes"] = trainer.world_size
            fit(trainer, [run])
        return running

    def _fused(self, members: list[Prepared], why: str) -> list[Running]:
        pace = self._pace(members)
        opened = [self._open(member, len(members), "fused", why, pace) for member in members]
        with self._recorded(opened, unless_raised=(Exception, SystemExit)) as troubles:
            runs = [run for running in opened if (run := self._begun(running)) is not None]
            if runs:
                if not members[0].data.dataset.in_memory:
                    raise _NoStack("the data is not in memory")
                trainer = make_trainer(members[0].values["trainer"], members[0].plan, "")
                if trainer.world_size > 1:
                    raise _NoStack("several processes train one run")
                fit(trainer, runs, fused=True)
        trouble = troubles[0] if troubles else None
        left = [running for running in opened if not running.ended]
        return [r for r in opened if r.ended] + (self._again(left, trouble) if left else [])

    def _begun(self, running: Running) -> Run | None:
        """The run as a member; None, and a failed record, where it cannot be built."""
        try:
            parts = _build(running.prepared, self.probed)
            self.probed = parts.probe  # members are of one shape
            return running.begin(parts)
        except (Exception, SystemExit) as error:
            running.fail(error)
            self.claims.release(running.record.id)
            return None

    def _again(self, left: list[Running], trouble: BaseException | None) -> list[Running]:
        """Members that a stack did not train: in halves, until those whose fault it is are by themselves.

        `trouble` is what ended the whole stack, if something did. A run's result does not depend on who is stacked
        with it: the innocent come out as if they had never met the others.
        """
        doubtful = [] if isinstance(trouble, _NoStack) else [r for r in left if _blamed(r) is None]
        if len(doubtful) == 1:
            doubtful = []
        found = [self._by_itself(r, _blamed(r) or _failure(r) or trouble) for r in left if r not in doubtful]
        if not doubtful:
            return found
        error = trouble or _failure(doubtful[0])
        fault = "did not fit in memory" if out_of_memory(error) else f"raised {one_line(error)}" if error else "failed"
        why = f"{self.how.why}; halved, for {len(doubtful)} {fault}"
        members, middle = [r.prepared for r in doubtful], len(doubtful) // 2
        return [*found, *self._fused(members[:middle], why), *self._fused(members[middle:], why)]

    def _by_itself(self, running: Running, error: BaseException | None) -> Running:
        """One that cannot be in a stack: a failure if it has to, else trained alone."""
        assert error is not None
        if not self.how.forced:
            return self._alone(running.prepared, f"cannot be fused: {one_line(error)}")
        running.fail(error)
        self.claims.release(running.record.id)
        return running

    @contextmanager
    def _recorded(
        self, opened: Sequence[Running], unless_raised: tuple[type[BaseException], ...] = ()
    ) -> Iterator[list[BaseException]]:
        """Inside, what is said goes to the runs' logs; an exception ends those that have not ended.

        One of `unless_raised` is kept in what this yields instead, for another way to be tried.
        """
        troubles: list[BaseException] = []
        try:
            with log_files([running.record.folder for running in opened]):
                yield troubles
        except (CannotWrite, KeyboardInterrupt):
            raise
        except unless_raised as error:
            troubles.append(error)
        except BaseException as error:
            for running in opened:
                if not running.ended:
                    running.fail(error)
        finally:
            for running in opened:
                if running.ended:
                    self.claims.release(running.record.id)


class _NoStack(Unlike):
    """These runs cannot be stacked in whatever company."""


def _failure(running: Running) -> BaseException | None:
    """What the member's optimizer raised in a stack."""
    return running.run.member.failed if hasattr(running, "run") else None


def _blamed(running: Running) -> BaseException | None:
    """The same, if no one else was stepped by that optimizer."""
    return _failure(running) if _failure(running) and running.run.member.sharers == 1 else None


def _build(prepared: Prepared, probed: Probe | None = None) -> Parts:
    return build(prepared.values, prepared.data.dataset, prepared.plan.total_steps, probed)


def _payload(prepared: Prepared) -> str:
    """What another process of this run has to know."""
    return json.dumps({"overrides": prepared.overrides, "values": prepared.asked, "id": prepared.record.id})


def main_rank(payload: str) -> None:
    """What the other processes of a distributed run do: the same training, and no writing."""
    given = json.loads(payload)
    prepared = Preparation().prepare(Job(given["values"], given["overrides"]))
    if prepared.record.id != given["id"]:
        raise RuntimeError(f"this process sees run {prepared.record.id}, its launcher {given['id']}")
    parts = _build(prepared)
    warnings.simplefilter("ignore")
    trainer = make_trainer(prepared.values["trainer"], prepared.plan, payload)
    fit(trainer, [Run(parts, prepared.plan, prepared.data.dataset, make_member(prepared.values, parts))])
