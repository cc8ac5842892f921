"""`python -m benchmarks [NAME ...]` runs benchmarks and compares the figures with the goals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import goals, memory, overhead, paths, single_run, startup, sweep
from benchmarks.measure import Times, environment


@dataclass(frozen=True)
class Benchmark:
    """A function of the number of rounds and of whether a toy size is enough; it returns a text and the figures."""

    report: Callable[[int, bool], tuple[str, Times]]
    rounds: int


BENCHMARKS = {
    "digits": Benchmark(sweep.digits, 7),
    "small": Benchmark(sweep.small, 5),
    "cnn": Benchmark(sweep.cnn, 7),
    "images": Benchmark(sweep.images, 15),  # many: the interval is what counts
    "single_run": Benchmark(single_run.report, 15),
    "startup": Benchmark(startup.report, 9),
    "overhead": Benchmark(overhead.report, 3),
    "paths": Benchmark(paths.report, 5),
    "memory": Benchmark(memory.report, 3),
}


def main(argv: list[str] | None = None) -> int:
    """Print the environment, a table for each benchmark, and the goals. Return 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--quick", action="store_true", help="at a toy size: shows that they work, measures nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="in place of each benchmark's own number")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    print(environment())
    print("Medians with 95% intervals; ratios are taken within a round, contestants interleaved.\n", flush=True)
    measured: dict[str, Times] = {}
    for name in args.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        try:
            text, measured[name] = benchmark.report(1 if args.quick else args.rounds or benchmark.rounds, args.quick)
        except (AssertionError, RuntimeError) as error:
            measured[name] = {}
            text = f"{name} failed: {error}\n"
        print(text, flush=True)
    if not args.quick:
        print(goals.summary(measured))
    return 0 if all(measured.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
