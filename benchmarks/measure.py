"""Shared by all benchmarks: interleaved rounds, medians with intervals, a plain table, the machine."""

from __future__ import annotations

import gc
import math
import os
import platform
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

Figures = dict[str, float]  # what one contestant measured in one round
Times = dict[str, dict[str, list[float]]]  # contestant -> figure -> one value a round


@dataclass(frozen=True)
class Interval:
    """A median, and the two values of its sample that hold the true one with 95% (or the whole of a small sample)."""

    median: float
    low: float
    high: float

    def show(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def interval(values: Sequence[float]) -> Interval:
    """The median and its distribution-free interval by order statistics, at 95% or as near as the sample allows.

    >>> interval([5.0, 1.0, 3.0]).show(0)
    '3 [1, 5]'
    """
    ordered, n = sorted(values), len(values)
    cut = tail = 0
    while cut < (n - 1) // 2:
        tail += math.comb(n, cut)
        if 2 * tail > 0.05 * 2**n:
            break
        cut += 1
    cut = max(0, cut - 1)
    return Interval(statistics.median(ordered), ordered[cut], ordered[n - 1 - cut])


def interleave(contestants: Mapping[str, Callable[[], Figures]], rounds: int, warm_up: bool = True) -> Times:
    """Each contestant once a round, in an order that is drawn anew each round: a slow minute meets all of them."""
    order = random.Random(0)
    if warm_up:
        for contestant in contestants.values():
            contestant()
    found: Times = {name: {} for name in contestants}
    for _ in range(rounds):
        names = list(contestants)
        order.shuffle(names)
        for name in names:
            gc.collect()
            for figure, value in contestants[name]().items():
                found[name].setdefault(figure, []).append(value)
    return found


def ratio(times: Times, figure: str, name: str, base: str) -> Interval:
    """The median over the rounds of one contestant's figure over another's of the same round."""
    pairs = zip(times[name][figure], times[base][figure], strict=True)
    return interval([ours / theirs for ours, theirs in pairs])


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table: the first column to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def shown(line: Sequence[str]) -> str:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([title, shown(header), "  ".join("-" * w for w in widths), *map(shown, rows), ""])


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> str:
    """The machine, its load before the first benchmark, and the versions that matter."""
    names = ("dl-harness", "torch", "numpy", "jax", "pytorch-lightning", "hydra-core", "tensorboard")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    instructions = torch.backends.cpu.get_cpu_capability()
    machine = f"{_processor()} ({platform.machine()}, {instructions}), {cores()} cores{load}"
    return f"{machine}\nPython {platform.python_version()}, {versions}"


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    names = [line for line in told.read_text().splitlines() if line.startswith("model name")] if told.exists() else []
    return names[0].partition(": ")[2] if names else platform.processor()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
