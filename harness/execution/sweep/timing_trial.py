"""A short measured trial: how long an epoch of one run takes by itself, and as a member of a stack."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from harness.datasets.dataset import Samples
from harness.execution.preparation import RunSpec
from harness.modeling.builder import build
from harness.modeling.profile import Probe
from harness.registry.instantiate import trait
from harness.system.errors import one_line, reraise_interrupt
from harness.system.forking import ProcessDied, call_forked
from harness.training.batches import Transformed
from harness.training.fit import transformed_splits
from harness.training.memory.estimate import estimate_memory
from harness.training.plan import Plan
from harness.training.recorded.function import RECORDED
from harness.training.resources import choose_threads, free_bytes, use_threads
from harness.training.single import SinglePath
from harness.training.vectorized.loop import StackedPath

LONG_S = 0.05  # what is measured lasts about so long
TRIED = 16  # members of the stack that is tried, at most
ANY = 1 << 20
TRIED_S = 0.02  # what a step of all of them takes by themselves, at most: where steps are long, a stack saves little
STACK_S, STACK_STEPS = 0.05, 25  # what trying a stack costs: a part of its own, and steps of all its members
STEP_BYTES = 1 << 23  # of the tensors of a stack's step: with more of them, each run took longer
LEAST = 4  # runs of a stack, whatever their step takes
TOO_LITTLE = "too short to try a stack"
WORTH = 0.1  # of the time that the runs take by themselves, which is what trying a stack may cost
ALONE_S, FUSED_S = 0.015, 0.003  # what a run costs beside its steps, by itself and in a stack


@dataclass(frozen=True)
class TimingTrial:
    """Seconds of an epoch of one run. `fused` is None, and `why` says why, where no stack could be made."""

    alone: float  # with as many threads as it would have here
    single: float  # with one thread, as a worker has
    fused: float | None
    why: str = ""
    deadly: bool = False  # who tries it dies of it


def tried(members: Sequence[RunSpec], unfusable: str = "", workers: int = 1, here: bool = True) -> TimingTrial:
    """Tries some members of a group of one shape, on models that are let go. What goes wrong in all tries is told, and
    not raised: it is the runs' own failure. Where processes can be forked, one that dies of it is not this one.

    As many processes try as would work, all at once: they share caches and the way to memory, and so will the runs.
    `here` is whether the runs may be trained in this process, with all of its threads.
    """
    if trait("model", members[0].values["model"], "estimator", False):
        return TimingTrial(0.0, 0.0, None, unfusable)  # it has no steps to measure
    most = torch.get_num_threads()
    fitting = 1 if unfusable else room(members, workers)
    try:
        found = call_forked(_tried, members, unfusable, workers, most, fitting, times=min(workers, len(members)))
    except ProcessDied as died:
        return TimingTrial(0.0, 0.0, None, f"the trial failed: {died}", deadly=True)
    first = found[0]
    single = sum(one.single for one in found) / len(found)
    stacks = [one.fused for one in found if one.fused is not None]
    fused = sum(stacks) / len(stacks) if stacks else None
    why = first.why if fused is None else ""
    if not here or first.member is None or first.threads == 1:
        return TimingTrial(single, single, fused, why)
    with torch.random.fork_rng(devices=[]):
        return TimingTrial(_by_itself(members[first.member], first.threads)[0], single, fused, why)


@dataclass(frozen=True)
class _Timings:
    """The measurements of one process.

    Attributes:
        single: Seconds of an epoch of one run alone, on one thread.
        fused: Seconds of an epoch of one run in a stack; None where there is no stack, and `why` says why.
        member: The place of the run that was timed alone.
        threads: The number of threads that it would have.
    """

    single: float
    fused: float | None
    why: str
    member: int | None = None
    threads: int = 1


def _tried(members: Sequence[RunSpec], unfusable: str, workers: int, most: int, fitting: int) -> _Timings:
    first: BaseException | None = None
    with torch.random.fork_rng(devices=[]):
        for at in dict.fromkeys((0, len(members) - 1, len(members) // 2)):
            try:
                single, probe = _by_itself(members[at], 1)
                break
            except BaseException as error:
                reraise_interrupt(error)
                first = first or error
        else:
            assert first is not None
            return _Timings(0.0, None, f"the trial failed: {one_line(first)}")
        plan = members[at].plan
        count = choose_threads(probe.work, plan.samples, most)
        if unfusable or len(members) < 2:
            return _Timings(single, None, unfusable or "a single run", at, count)
        if not worth(single, members, workers):
            return _Timings(single, None, TOO_LITTLE, at, count)
        for some in _stacks(members, max(2, min(fitting, _size(single, plan)))):
            try:
                return _Timings(single, _stacked(some, probe), "", at, count)
            except BaseException as error:
                reraise_interrupt(error)
                first = first or error
    assert first is not None
    return _Timings(single, None, f"cannot be stacked: {one_line(first)}", at, count)


def worth(single: float, members: Sequence[RunSpec], workers: int) -> bool:
    """Return whether a trial of a stack costs little beside training these runs, where an epoch takes `single`."""
    plan = members[0].plan
    cost = STACK_S + min(STACK_STEPS, plan.batches + 1) * _size(single, plan) * single / plan.batches
    return cost <= WORTH * len(members) / workers * (ALONE_S + plan.epochs * single)


def _size(single: float, plan: Plan) -> int:
    return max(2, min(TRIED, int(TRIED_S * plan.batches / single)))


def _stacks(members: Sequence[RunSpec], size: int) -> list[Sequence[RunSpec]]:
    """Return the runs to stack, then others and fewer, for where a run spoils the stacks before."""
    found = [members[:size]]
    for fewer in (size, 4, 2):
        if fewer <= size:
            found += [members[-fewer:], members[:fewer]]
    return found


def _by_itself(member: RunSpec, count: int) -> tuple[float, Probe]:
    """Return the seconds of an epoch of one run alone with a number of threads, and the probe of its model."""
    dataset = member.dataset
    parts = build(member.values, dataset, member.plan.total_steps, member.probe)
    alone = SinglePath(parts, member.plan, transformed_splits(dataset), _device(member), (0, 1))
    with use_threads(count):
        return _epoch(alone), parts.probe


def _stacked(some: Sequence[RunSpec], probe: Probe) -> float:
    """Return the seconds of an epoch of one run of a stack."""
    data = [m.dataset for m in some]
    built = [build(m.values, own, m.plan.total_steps, probe) for m, own in zip(some, data, strict=True)]
    with use_threads(1):
        stack = StackedPath(built, [m.plan for m in some], data, _device(some[0]))
        seconds = _epoch(stack) / len(some)
    for error, _ in stack.failures.values():
        raise error
    return seconds


def _device(member: RunSpec) -> torch.device:
    return torch.device("cuda" if member.device == "cuda" else "cpu")


def _epoch(path: SinglePath | StackedPath) -> float:
    """Return the seconds of an epoch, estimated from some steps, with validation where the data is in memory."""
    batches = path.plan.batches
    path.start_epoch(0)
    for _ in range(RECORDED + 1):  # the first step of anything is slow, and so are those that are recorded
        _step(path, 0)
    done, started = 0, time.perf_counter()
    while done < batches and (done < 3 or time.perf_counter() - started < LONG_S):
        _step(path, done)
        done += 1
    step = (time.perf_counter() - started) / done
    started = time.perf_counter()
    if isinstance(path, StackedPath) or isinstance(path.data["val"], Samples):
        path.evaluate("val")
    return step * batches + time.perf_counter() - started


def _step(path: SinglePath | StackedPath, batch: int) -> None:
    if isinstance(path, StackedPath) or not isinstance(source := path.data["train"], Transformed):
        path.train(range(batch, batch + 1))
        return
    plan = path.plan
    first = batch * plan.batch_size
    x, y = source.__getitems__(plan.order(0)[first : first + plan.size(batch)].tolist())
    path.train_on(batch, x, y)


def room(members: Sequence[RunSpec], workers: int) -> int:
    """Return how many of these runs a stack may have.

    The stacks of all workers must fit in memory. The tensors of a step should fit in a core's cache, unless that leaves
    fewer runs than a stack needs to save time.
    """
    member = members[0]
    own = member.facts.bytes if len({m.record.data["digest"] for m in members}) > 1 else 0  # each brings its data
    try:
        dataset = member.dataset
        parts = build(member.values, dataset, member.plan.total_steps, member.probe)
        found = estimate_memory(parts, dataset, member.plan, member.device)
    except BaseException as error:
        reraise_interrupt(error)
        return ANY  # the run's own failure, which it will be told of
    each = own + found.total() - found.data
    cached = max(LEAST, STEP_BYTES // max(1, found.step)) if member.device == "cpu" else ANY
    return max(1, min(cached, int(free_bytes(member.device) / 2 / workers / max(1, each))))


def parts_of(count: int, workers: int, most: int) -> list[int]:
    """Return the sizes of the stacks that `count` runs are divided into: even, and as many for each worker.

    >>> parts_of(64, 2, 32), parts_of(10, 4, 100), parts_of(1, 2, 8), parts_of(100, 2, 32)
    ([32, 32], [3, 3, 2, 2], [1], [25, 25, 25, 25])
    """
    pieces = min(count, workers * math.ceil(count / (workers * most)))
    return [count // pieces + (i < count % pieces) for i in range(pieces)]
