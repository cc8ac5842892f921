"""The command `harness doctor`: findings on runs, and estimates of memory."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module

from harness import Command, HarnessError

HELP = """Diagnose a run, or the runs of a study, and suggest overrides to try.

For each run: evidence, likely cause, overrides to try. The data is loaded, and the network is built and trained again
for some steps; --quick reads the files alone. With --estimate: the memory of a run that is yet to be trained, by part
and by batch size; nothing is trained or written.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `harness doctor`."""
    parser.add_argument(
        "run",
        metavar="RUN|OVERRIDE",
        nargs="*",
        help="a run or a study: a folder, or a name under outputs/; with --estimate the overrides of a run",
    )
    parser.add_argument("--quick", action="store_true", help="read the files alone, in milliseconds")
    parser.add_argument(
        "--estimate", action="store_true", help="estimate the memory of a run that is yet to be trained"
    )
    parser.add_argument("--config-dir", help="a folder of your own presets, for --estimate")
    parser.add_argument("--json", action="store_true", help="print JSON")


def doctor(args: argparse.Namespace) -> int:
    """Run `harness doctor`."""
    if args.estimate:
        from harness_doctor.estimating import estimate

        return estimate(args.run, args.config_dir, args.json)
    if len(args.run) != 1:
        raise HarnessError("harness doctor takes one RUN or STUDY, or --estimate [overrides]")
    return findings(args.run[0], args.quick, args.json)


def findings(run: str, quick: bool, as_json: bool) -> int:
    """Print the findings on a run or a study."""
    from harness_doctor.engine import Spinner, lines, load

    records = load(run)
    if not len(records):
        raise HarnessError(f"no runs in {run}")
    with Spinner("loading the doctor"):
        from harness_doctor.summary import examined, rows, text

        if not quick:
            import_module("harness_doctor.examination")  # torch

    def progress(done: int) -> None:
        if sys.stderr.isatty() and len(records) > 1:
            print(f"\r\x1b[K{done} of {len(records)} runs", end="" if done < len(records) else "\n", file=sys.stderr)

    runs = examined(records, quick, progress)
    print(json.dumps({"findings": rows(runs)}, indent=1) if as_json else lines(text(runs)))
    return 0


COMMAND = Command("doctor", HELP, arguments, doctor)
