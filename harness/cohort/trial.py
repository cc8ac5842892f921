"""A short measured trial: how long an epoch of one run takes by itself, and as a member of a stack."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from harness.build import build
from harness.dataset import SPLITS
from harness.errors import one_line
from harness.learner.alone import Alone
from harness.learner.fused import Fused
from harness.learner.memory import estimate
from harness.learner.threads import threads, using
from harness.prepare import Prepared
from harness.probe import Probe

LONG_S = 0.05  # what is measured lasts about so long
TRIED = 16  # members of the stack that is tried, at most
ANY = 1 << 20
TRIED_S = 0.02  # what a step of all of them takes by themselves, at most: where steps are long, a stack saves little


SOON_S = 0.5  # less work than this is done before a stack would have been tried
ALONE_S, FUSED_S = 0.015, 0.004  # what a run costs beside its steps, by itself and in a stack


@dataclass(frozen=True)
class Trial:
    """Seconds of an epoch of one run. `fused` is None, and `why` says why, where no stack could be made."""

    alone: float  # with as many threads as it would have here
    single: float  # with one thread, as a worker has
    fused: float | None
    why: str = ""


def tried(members: Sequence[Prepared], unfusable: str = "") -> Trial:
    """Tries some members of a group of one shape, on models that are let go. What goes wrong in all tries is told, and
    not raised: it is the runs' own failure.
    """
    first: BaseException | None = None
    with torch.random.fork_rng(devices=[]):
        for member in {id(m): m for m in (members[0], members[-1], members[len(members) // 2])}.values():
            try:
                plain, single, probe = _by_itself(member)
                break
            except (Exception, SystemExit) as error:
                first = first or error
        else:
            assert first is not None
            return Trial(0.0, 0.0, None, f"cannot be tried: {one_line(first)}")
        if unfusable or len(members) < 2:
            return Trial(plain, single, None, unfusable or "one run has no one to be stacked with")
        size = max(2, min(TRIED, int(TRIED_S / (single / member.plan.batches))))
        for some in _stacks(members, size):
            try:
                return Trial(plain, single, _stacked(some, probe))
            except (Exception, SystemExit) as error:
                first = first or error
    assert first is not None
    return Trial(plain, single, None, f"cannot be fused: {one_line(first)}")


def _stacks(members: Sequence[Prepared], size: int) -> list[Sequence[Prepared]]:
    """Members to be stacked in a try; the later ones where someone spoils those before."""
    found = [members[:size]]
    for fewer in (4, 2):
        if fewer < size:
            found += [members[:fewer], members[-fewer:]]
    return found


def _by_itself(member: Prepared) -> tuple[float, float, Probe]:
    """Seconds of an epoch, with as many threads as there would be here and with one."""
    dataset = member.data.dataset
    parts = build(member.values, dataset, member.plan.total_steps)
    count = threads(parts.probe.work, member.plan.batch_size, torch.get_num_threads())
    alone = Alone(parts, member.plan, {s: dataset.part(s) for s in SPLITS}, _device(member), (0, 1))
    with using(count):
        plain = _epoch(alone)
    with using(1):
        return plain, plain if count == 1 else _epoch(alone), parts.probe


def _stacked(some: Sequence[Prepared], probe: Probe) -> float:
    """Seconds of an epoch of one of them."""
    built = [build(m.values, m.data.dataset, m.plan.total_steps, probe) for m in some]
    with using(1):
        stack = Fused(built, [m.plan for m in some], [m.data.dataset for m in some], _device(some[0]))
        seconds = _epoch(stack) / len(some)
    for error, _ in stack.failures.values():
        raise error
    return seconds


def _device(member: Prepared) -> torch.device:
    return torch.device("cuda" if member.device == "cuda" else "cpu")


def _epoch(path: Alone | Fused) -> float:
    """Seconds of an epoch and its validation, from some steps of it."""
    batches = path.plan.batches
    path.start_epoch(0)
    path.train(range(1))  # the first step of anything is slow
    done, started = 0, time.perf_counter()
    while done < batches and (done < 3 or time.perf_counter() - started < LONG_S):
        path.train(range(done, done + 1))
        done += 1
    step = (time.perf_counter() - started) / done
    started = time.perf_counter()
    path.evaluate("val")
    return step * batches + time.perf_counter() - started


def room(member: Prepared, workers: int) -> int:
    """How many members a stack of this shape may have for the workers to fit in memory side by side."""
    try:
        parts = build(member.values, member.data.dataset, member.plan.total_steps)
    except (Exception, SystemExit):
        return ANY  # the run's own failure, which it will be told of
    each = estimate(parts, member.plan)
    free = torch.cuda.mem_get_info()[0] if member.device == "cuda" else psutil.virtual_memory().available
    return max(1, int(free / 2 / workers / max(1, each)))


def parts_of(count: int, workers: int, most: int) -> list[int]:
    """Sizes of the stacks that `count` members are divided into: even, and as many for each worker.

    >>> parts_of(64, 2, 32), parts_of(10, 4, 100), parts_of(1, 2, 8), parts_of(100, 2, 32)
    ([32, 32], [3, 3, 2, 2], [1], [25, 25, 25, 25])
    """
    pieces = min(count, workers * math.ceil(count / (workers * most)))
    return [count // pieces + (i < count % pieces) for i in range(pieces)]
