"""Contestants of a benchmark in warm processes, each asked for one sweep a round."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cases import Case, Work
from benchmarks.measure import Figures, Times, cores, interleave
from benchmarks.warm import ONE_THREAD, LeftOut, Warm

PEERS = "benchmarks.peers"


@dataclass(frozen=True)
class Contestant:
    """A function with its arguments, and the process that calls it: once with `tiny`, then with `given` each round."""

    name: str
    process: str
    call: str
    given: Mapping[str, Any]
    tiny: Mapping[str, Any]
    runs: int
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Contest:
    """The contestants that take part, the seconds until their process had done its first, tiny sweep, and notes."""

    folder: Path
    processes: dict[str, Warm] = field(default_factory=dict)
    asked: dict[str, Callable[[], Figures]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    start: dict[str, float] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)  # how each did it, the last time
    notes: list[str] = field(default_factory=list)

    def measure(self, rounds: int, warm_up: bool = True) -> Times:
        """Interleaved rounds of all that take part. What starts a process each time needs no warming up."""
        if warm_up:
            for name in self.start:
                self.asked[name]()
        return interleave(self.asked, rounds, warm_up=False)

    def rename(self, name: str, other: str) -> None:
        """Call a contestant by another name."""
        for each in (self.asked, self.runs, self.start):
            each[other] = each.pop(name)

    def remove(self, name: str) -> None:
        """Leave a contestant out of the rounds."""
        for each in (self.asked, self.runs, self.start):
            del each[name]

    def leave_out(self, name: str, why: LeftOut) -> None:
        self.notes.append(f"left out: {name} ({textwrap.shorten(str(why), 80)})")


@contextmanager
def contest(contestants: Iterable[Contestant]) -> Iterator[Contest]:
    """Starts the processes, in a folder that does not outlive the block; who cannot take part is left out and named."""
    with ExitStack() as stack:
        found = Contest(Path(stack.enter_context(TemporaryDirectory())))
        for one in contestants:
            if one.process not in found.processes:
                found.processes[one.process] = stack.enter_context(Warm(found.folder, one.env))
            process = found.processes[one.process]
            try:
                first = process.ask(one.call, **one.tiny)
            except LeftOut as why:
                found.leave_out(one.name, why)
                continue
            found.start[one.name] = process.ready() - first.get("compiling", 0.0)
            found.runs[one.name] = one.runs
            found.asked[one.name] = _asking(found, process, one)
        yield found


def _asking(found: Contest, process: Warm, one: Contestant) -> Callable[[], Figures]:
    def ask() -> Figures:
        answer = process.ask(one.call, **one.given)
        if "way" in answer:
            found.ways[one.name] = answer.pop("way")
        return answer

    return ask


def ours(name: str, case: Case, work: Work, *extra: str, run: bool = False) -> Contestant:
    """The harness on a case, with these settings beside; all of them in one process. `run`: the case is one run."""
    sizes = (case, case.tiny(1 if run else cores()))
    given, tiny = ({"overrides": [*work.overrides(size), *extra]} for size in sizes)
    call, env = ("harness_run", ONE_THREAD) if run else ("harness_sweep", {})
    return Contestant(name, "harness", f"{PEERS}:{call}", given, tiny, case.runs, env)


def peer(name: str, call: str, case: Case, work: Work, env: Mapping[str, str] | None = None, **more: Any) -> Contestant:
    """A peer on a case; those of one function share a process."""
    given, tiny = ({**work.plain(size), **more} for size in (case, case.tiny(cores())))
    return Contestant(name, call, call, given, tiny, case.runs, env or {})
