"""Two contestants at the same time on one core, in processes of their own: what slows the machine down meets both.

The system gives each of them the core for some milliseconds in turn, so that no round is too long for a machine whose
speed changes within seconds: the processor times of one contestant against itself differ by a few tenths of a percent,
where those of runs one after the other differ by ten.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from benchmarks.measure import Figures, Times
from benchmarks.single_run import scratch

Job = Callable[[str, int], Figures]  # of a contestant's name and a number that no other call is given


def measured(job: Job, names: Sequence[str], rounds: int) -> Times:
    """The figures of two contestants. In each round the two processes change roles once: the mean of both counts.

    `job` is a function of a module, or a functools.partial of one: it is sent to the processes by its name.
    """
    numbers = iter(range(1 << 30))
    forks = "fork" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with scratch():
        for name in names if forks else ():  # what is imported here is imported there
            job(name, next(numbers))
    pipes = [context.Pipe() for _ in names]
    workers = [context.Process(target=_work, args=(job, theirs), daemon=True) for _, theirs in pipes]
    for worker in workers:
        worker.start()
    ours = [mine for mine, _ in pipes]

    def turn(order: Sequence[str]) -> dict[str, Figures]:
        for pipe, name in zip(ours, order, strict=True):
            pipe.send((name, next(numbers)))
        answers = {name: pipe.recv() for pipe, name in zip(ours, order, strict=True)}
        for answer in answers.values():
            if isinstance(answer, BaseException):
                raise answer
        return answers

    orders = [list(names), list(reversed(names))]
    found: Times = {name: {} for name in names}
    try:
        for order in orders:  # each process warms up for both
            turn(order)
        for _ in range(rounds):
            turns = [turn(order) for order in orders]
            for name in names:
                for figure in turns[0][name]:
                    mean = statistics.mean(each[name][figure] for each in turns)
                    found[name].setdefault(figure, []).append(mean)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return found


def _work(job: Job, pipe: Connection) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with scratch():
        while True:
            name, number = pipe.recv()
            gc.collect()
            try:
                pipe.send(job(name, number))
            except Exception as error:
                pipe.send(error)
