"""Evaluate a trained run without training, on its own or on other data.

RUN is a folder, or STUDY/ID with the first digits of its ID. Inputs are transformed as the run's training data was. The
result is a record of its own, in the study `evaluations`:

  harness eval digits/3f2a9c 'corruption=[label_noise]' 'metric=[f1]'
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from harness.results.study import find_run
from harness.system.errors import HarnessError


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", metavar="RUN", help="the trained run, for example digits/3f2a9c")
    add("overrides", nargs="*", metavar="OVERRIDE", help="data, corruption, split, metric, batch_size, trainer, study")
    add("--json", action="store_true", help="print the record as JSON")


def run(args: argparse.Namespace) -> int:
    if "=" in args.run and not Path(args.run).exists():
        raise HarnessError(
            f"harness eval takes a run before any override: harness eval RUN {args.run} "
            "(for a file of weights: harness train=false init_from=FILE)"
        )
    from harness.analysis.report.summary import run_summary
    from harness.execution.prediction import evaluate

    command = shlex.join(["harness", "eval", args.run, *args.overrides])
    record = evaluate(find_run(args.run), args.overrides, command)
    print(record.to_json() if args.json else run_summary(record))
    return 1 if record.status == "failed" else 0
