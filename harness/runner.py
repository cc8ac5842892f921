"""From prepared runs to complete records: one run, or a cohort of them, whatever happens on the way."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.app import Job
from harness.build import Parts, build
from harness.errors import HarnessError, one_line
from harness.folder import log_files
from harness.learner.fit import Run, fit, make_trainer
from harness.learner.lift import Unlike
from harness.learner.memory import out_of_memory
from harness.load_data import Loader, warn_of_overlap
from harness.owner import Claims
from harness.prepare import Preparation, Prepared
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
            for running in _Cohort(todo, how, watch, claims).train():
                found[running.record.id] = running.record
    return [found[m.record.id] for m in members]


class _Cohort:
    """Some runs that are ours to train."""

    def __init__(self, members: Sequence[Prepared], how: How, watch: Watch | None, claims: Claims) -> None:
        self.members, self.how, self.watch, self.claims = list(members), how, watch, claims
        self.started = time.perf_counter()

    def train(self) -> list[Running]:
        """Trains them all. A cohort that cannot be fused is trained in halves, or one by one."""
        if self.how.path == "fused":
            return self._fused(self.members, self.how.why)
        return [self._alone(member, self.how.why) for member in self.members]

    def _open(self, member: Prepared, size: int, path: str, why: str) -> Running:
        cohort = {"size": size, "path": path, "executor": self.how.executor, "why": why, "sweep": self.how.sweep}
        return Running(member, cohort, self.started, self.watch)

    def _alone(self, member: Prepared, why: str) -> Running:
        running = self._open(member, 1, "alone", why)
        with self._recorded([running]):
            run = running.begin(_build(member))
            trainer = make_trainer(member.values["trainer"], member.plan, _payload(member))
            running.record.cohort["processes"] = trainer.world_size
            fit(trainer, [run])
        return running

    def _fused(self, members: list[Prepared], why: str) -> list[Running]:
        opened = [self._open(member, len(members), "fused", why) for member in members]
        trouble: BaseException | None = None
        with self._recorded(opened, unless_raised=(Exception, SystemExit)) as troubles:
            runs = [run for running in opened if (run := self._begun(running)) is not None]
            if runs:
                if not members[0].data.dataset.in_memory:
                    raise Unlike("the data is not in memory")
                trainer = make_trainer(members[0].values["trainer"], members[0].plan, "")
                if trainer.world_size > 1:
                    raise Unlike("several processes train one run")
                fit(trainer, runs, fused=True)
        trouble = troubles[0] if troubles else None
        if trouble is None:
            return opened
        left = [running for running in opened if not running.ended]
        return [r for r in opened if r.ended] + self._again(left, trouble)

    def _begun(self, running: Running) -> Run | None:
        """The run as a member; None, and a failed record, where it cannot be built."""
        try:
            return running.begin(_build(running.prepared))
        except (Exception, SystemExit) as error:
            running.fail(error)
            self.claims.release(running.record.id)
            return None

    def _again(self, left: list[Running], trouble: BaseException) -> list[Running]:
        """What a fused cohort could not do: in halves where memory was short, else one by one."""
        members = [running.prepared for running in left]
        if out_of_memory(trouble) and len(members) > 1:
            middle = len(members) // 2
            why = f"{self.how.why}; halved, for {len(members)} did not fit in memory"
            return [r for part in (members[:middle], members[middle:]) for r in self._fused(part, why)]
        if self.how.forced:
            for running in left:
                running.fail(trouble)
            return left
        return [self._alone(member, f"cannot be fused: {one_line(trouble)}") for member in members]

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
        except unless_raised as error:
            troubles.append(error)
        except KeyboardInterrupt:
            for running in opened:
                running.interrupt()
            raise
        except BaseException as error:
            for running in opened:
                if not running.ended:
                    running.fail(error)
        finally:
            for running in opened:
                if running.ended:
                    self.claims.release(running.record.id)


def _build(prepared: Prepared) -> Parts:
    return build(prepared.values, prepared.data.dataset, prepared.plan.total_steps)


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
    fit(trainer, [Run(parts, prepared.plan, prepared.data.dataset, make_member(prepared, parts))])
