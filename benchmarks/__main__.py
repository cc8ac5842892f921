"""`python -m benchmarks [--quick] [NAME ...]`: measures what is named, or everything, and prints plain tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import memory, single_run, startup
from benchmarks.measure import environment

BENCHMARKS: dict[str, Callable[[bool], str]] = {
    "single_run": single_run.report,
    "memory": memory.report,
    "startup": startup.report,
}


def main(argv: list[str] | None = None) -> None:
    """Prints the environment, then one table after the other as they are measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--quick", action="store_true", help="at a toy size: shows that they work, measures nothing")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    print(environment())
    print("Medians with 95% intervals; ratios are taken within a round, contestants interleaved.\n", flush=True)
    for name in args.names or BENCHMARKS:
        print(BENCHMARKS[name](args.quick), flush=True)


if __name__ == "__main__":
    main()
