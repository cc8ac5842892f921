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

LONG_S = 0.05  # what is measured lasts about so long
TRIED = 16  # members of the stack that is tried


@dataclass(frozen=True)
class Trial:
    """Seconds of an epoch of one run. `fused` is None, and `why` says why, where no stack could be made."""

    alone: float  # with as many threads as it would have here
    single: float  # with one thread, as a worker has
    fused: float | None
    why: str = ""


def tried(members: Sequence[Prepared], unfusable: str = "") -> Trial:
    """Tries the first members of a group of one shape, on models that are let go."""
    first = members[0]
    device = torch.device("cuda" if first.device == "cuda" else "cpu")
    data = [m.data.dataset for m in members[:TRIED]]
    with torch.random.fork_rng(devices=[]):
        parts = build(first.values, first.data.dataset, first.plan.total_steps)
        count = threads(parts.probe.work, first.plan.batch_size, torch.get_num_threads())
        alone = Alone(parts, first.plan, {s: data[0].part(s) for s in SPLITS}, device, (0, 1))
        with using(count):
            plain = _epoch(alone)
        with using(1):
            single = plain if count == 1 else _epoch(alone)
            if unfusable or len(members) < 2:
                return Trial(plain, single, None, unfusable or "one run has no one to be stacked with")
            try:
                some = members[:TRIED]
                built = [build(m.values, m.data.dataset, m.plan.total_steps) for m in some]
                stack = Fused(built, [m.plan for m in some], data, device)
                return Trial(plain, single, _epoch(stack) / len(some))
            except (Exception, SystemExit) as error:
                return Trial(plain, single, None, f"cannot be fused: {one_line(error)}")


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
    parts = build(member.values, member.data.dataset, member.plan.total_steps)
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
