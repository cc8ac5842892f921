"""Compare the arms of a study: which differences are settled, and which need more seeds.

An arm is one combination of what the sweep varied, without seeds: optimizer=adam,sgd activation=relu,tanh seed=0,1,2
has four arms of three runs. Arms are compared by the runs that share a seed, and a table is printed for each data set.
Verdicts stay valid when you add seeds and print the report again. --runs lists single runs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.system.errors import HarnessError, suggest
from harness.system.escape import lines, printable

if TYPE_CHECKING:
    from harness.analysis.report.api import Report


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", metavar="STUDY", help="a folder, a name under outputs/, or a bundle (FILE.zip)")
    add("--metric", metavar="METRIC", help="what to compare, for example test/loss (default: the objective, on test)")
    add("--by", metavar="KEY[,KEY]", help="what tells the arms apart (default: all that was varied, without seeds)")
    add("--baseline", metavar="ARM", help="compare every arm with this one (default: with each other)")
    add("--where", action="append", default=[], metavar="KEY=VALUE", help="compare only such runs; may be repeated")
    add("--margin", type=float, metavar="X", help="the largest difference that does not matter: arms can be equal")
    add("--planned", type=int, metavar="N", help="seeds that the study will have (default: 30, or more if launched)")
    population = "population: conclude about new data of this kind, not only about this data set"
    add("--scope", choices=("default", "population"), default="default", help=population)
    add("--runs", action="store_true", help="list the runs, one row each, in place of the comparison")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON; with --runs the records")
    form.add_argument("--csv", action="store_true", help="print a row for each arm and data set, as CSV")
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    form.add_argument("--latex", action="store_true", help="print LaTeX tables, for the package booktabs")
    add("--html", type=Path, metavar="FILE", help="also write a page that opens offline; an old FILE is replaced")
    add("--figures", type=Path, metavar="DIR", help="also write every figure to a file in this folder")
    add("--format", choices=("pdf", "svg", "png"), help="format of the figures (default: pdf)")


def run(args: argparse.Namespace) -> int:
    _check(args)
    if args.runs:
        return _runs(args)
    from harness.analysis.report.api import report

    result = report(
        args.study,
        by=None if args.by is None else [key for key in args.by.split(",") if key],
        metric=args.metric,
        baseline=args.baseline,
        where=args.where,
        margin=args.margin,
        planned=args.planned,
        scope=args.scope,
    )
    written = _write(result, args)
    print(_text(result, args), end="")
    if not (args.json or args.csv or args.markdown or args.latex):
        print("".join(f"wrote      {printable(path)}\n" for path in written), end="")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that have no effect together."""
    if args.format is not None and args.figures is None:
        raise HarnessError("harness report: --format needs --figures DIR")
    if args.runs:
        values = {name: value for name, value in vars(args).items() if name not in ("study", "runs", "metric", "json")}
        if wrong := [name for name, value in values.items() if value not in (None, False, [], "default")]:
            raise HarnessError(f"harness report: --runs goes with --metric and --json, not with --{wrong[0]}")


def _write(result: Report, args: argparse.Namespace) -> list[Path]:
    """Write the files that were asked for, and return their paths."""
    written = []
    if args.html is not None:
        result.to_html(args.html)
        written.append(args.html)
    if args.figures is not None:
        written += result.save_figures(args.figures, args.format or "pdf")
    return written


def _text(result: Report, args: argparse.Namespace) -> str:
    if args.json:
        from harness.analysis.report.rows import to_json

        return f"{to_json(result.comparison)}\n"
    if args.csv:
        from harness.analysis.report.rows import arm_rows, to_csv

        return to_csv(arm_rows(result.comparison))
    if args.markdown or args.latex:
        from harness.analysis.report.markup import to_latex, to_markdown

        return f"{lines((to_markdown if args.markdown else to_latex)(result.comparison))}\n"
    from harness.analysis.report.verdict import report_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return f"{report_text(result.comparison, width)}\n"


def _runs(args: argparse.Namespace) -> int:
    """Print one row for each run, or the records as JSON."""
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
