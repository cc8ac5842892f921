"""`python -m benchmarks [--quick] [NAME ...]`: measures what is named, or everything, and prints plain tables."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

from benchmarks import memory, overhead, paths, peak, single_run, startup, sweep, watching
from benchmarks.measure import environment

BENCHMARKS: dict[str, Callable[[bool], str]] = {
    "single_run": single_run.report,
    "memory": memory.report,
    "startup": startup.report,
    "sweep": sweep.digits,
    "sweep_small": sweep.small,
    "sweep_cnn": sweep.cnn,
    "sweep_images": sweep.images,
    "paths": paths.report,
    "peak": peak.report,
    "overhead": overhead.report,
    "watching": watching.report,
}


def main(argv: list[str] | None = None) -> None:
    """Prints the environment, then one table after the other as they are measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--quick", action="store_true", help="at a toy size: shows that they work, measures nothing")
    parser.add_argument("--full", action="store_true", help="the overhead of 10,000 runs, however long it takes")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    print(environment())
    print("Medians with 95% intervals; ratios are taken within a round, contestants interleaved.\n", flush=True)
    reports = BENCHMARKS | ({"overhead": functools.partial(overhead.report, full=True)} if args.full else {})
    for name in args.names or BENCHMARKS:
        print(reports[name](args.quick), flush=True)


if __name__ == "__main__":
    main()
