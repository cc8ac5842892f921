"""Show the runs of a study, one row per run."""

from __future__ import annotations

import argparse

from harness.system.errors import HarnessError, suggest


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY")
    parser.add_argument("--metric", metavar="METRIC", help="show only this metric, for example test/accuracy")
    parser.add_argument("--json", action="store_true", help="print the records as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.analysis.report.table import columns, render, run_rows, shared
    from harness.results.study import load

    records = load(args.study)
    if not len(records):
        raise HarnessError(f"no runs in {args.study}")
    if args.metric is not None:
        known = sorted({name for record in records for name in record.metrics})
        if args.metric not in known:
            raise HarnessError(f"no run has the metric {args.metric!r}.{suggest(args.metric, known)}")
    if args.json:
        print("[" + ",\n".join(record.to_json(None).strip() for record in records) + "]")
        return 0
    shown = columns(records, args.metric)
    if common := shared(records):
        print(f"all runs: {common}\n")
    header = ["run", "status", *shown, "share_s"]
    render(header, run_rows(records, shown), numeric=[*shown, "share_s"])
    return 0
