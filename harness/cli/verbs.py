"""The built-in commands. Each takes the words that follow its name, and returns the exit status.

The docstring of a command is its line in `harness --help`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable

from harness.cli.checking import check
from harness.cli.parser import verb_parser
from harness.cli.remove import rm
from harness.cli.scaffolding import new
from harness.cli.show_data import show_data
from harness.system.errors import HarnessError, suggest
from harness.system.escape import lines, printable
from harness.system.safe_files import refuse_special


def list_(words: list[str]) -> int:
    """List components and their origin."""
    from harness.analysis.report.table import render
    from harness.registry import catalogue
    from harness.registry.kinds import KINDS

    parser = verb_parser("list", "List components and their origin.")
    parser.add_argument("kind", nargs="?", help="list only this kind")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(words)
    if args.kind is not None and args.kind not in KINDS:
        raise HarnessError(f"no kind {args.kind!r}.{suggest(args.kind, KINDS)}")
    entries = [entry for entry in catalogue.current() if args.kind in (None, entry["kind"])]
    if args.json:
        keys = ("kind", "name", "origin", "parameters", "reference", "doc")
        print(json.dumps([{key: entry[key] for key in keys} for entry in entries], indent=1))
        return 0
    rows = [[e["kind"], e["name"], _first_line(e["doc"]), e["origin"]] for e in entries]
    render(["kind", "name", "", "origin"], rows)
    for hint in catalogue.current().hints(args.kind):
        print(hint)
    return 0


def _first_line(doc: str) -> str:
    return doc.splitlines()[0] if doc else ""


def show(words: list[str]) -> int:
    """Show a component: its documentation, settings, search spaces and reference."""
    from harness.analysis.report.component import describe
    from harness.registry import catalogue

    parser = verb_parser("show", "Show a component: its documentation, settings, search spaces and reference.")
    parser.add_argument("component", metavar="KIND/NAME")
    args = parser.parse_args(words)
    kind, slash, name = args.component.partition("/")
    if not slash:
        kinds = [f"{entry['kind']}/{kind}" for entry in catalogue.current() if entry["name"] == kind]
        hint = f"Did you mean {' or '.join(map(repr, kinds))}?" if kinds else "For example: optimizer/adam."
        raise HarnessError(f"harness show takes KIND/NAME, got {args.component!r}. {hint}")
    print(lines(describe(catalogue.current().get(kind, name))))
    return 0


def plugins(words: list[str]) -> int:
    """List installed, blocked and broken plugins."""
    from harness.analysis.report.table import render
    from harness.registry import catalogue
    from harness.registry.discovery import blocked

    parser = verb_parser("plugins", "List installed, blocked and broken plugins.")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(words)
    known = catalogue.read(again=True)
    if args.json:
        rows = [dataclasses.asdict(plugin) for plugin in known.plugins]
        print(json.dumps({"plugins": rows, "problems": [dataclasses.asdict(p) for p in known.problems]}, indent=1))
        return 0
    render(
        ["plugin", "distribution", "version", "status", "components", "commands"],
        [
            [p.name, p.distribution, p.version, p.status, str(len(p.components)), ", ".join(p.commands)]
            for p in known.plugins
        ],
        numeric=["components"],
    )
    for problem in known.problems:
        print(f"{problem.plugin} ({problem.distribution}), {problem.stage}: {printable(problem.message)}")
    names = {name for plugin in known.plugins for name in (plugin.name, plugin.distribution)}
    for name in sorted(blocked() - names):
        print(f"HARNESS_BLOCK names {name!r}, but no such plugin is installed.{suggest(name, names, listed=False)}")
    return 0


def board(words: list[str]) -> int:
    """Open TensorBoard on a study."""
    from harness.results.study import OUTPUTS, study_folder

    parser = verb_parser(
        "board", "Open TensorBoard on a study or a run; other options are passed to TensorBoard (--port 6007)."
    )
    parser.add_argument("study", nargs="?", default=OUTPUTS)
    args, more = parser.parse_known_args(words)
    folder = study_folder(args.study)
    refuse_special(folder)
    sys.stdout.flush()
    options = ["--logdir", str(folder), "--window_title", f"harness {args.study}", *more]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "harness.cli.tensorboard", *options])


def report(words: list[str]) -> int:
    """Show the runs of a study, one row per run."""
    from harness.analysis.report.table import columns, render, run_rows, shared
    from harness.results.study import load

    parser = verb_parser("report", "Show the runs of a study, one row per run.")
    parser.add_argument("study")
    parser.add_argument("--metric", help="show only this metric, for example test/accuracy")
    parser.add_argument("--json", action="store_true", help="print the records as JSON")
    args = parser.parse_args(words)
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
    header = ["run", "status", *shown, "fit_s"]
    render(header, run_rows(records, shown), numeric=[*shown, "fit_s"])
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    "list": list_,
    "show": show,
    "show-data": show_data,
    "plugins": plugins,
    "board": board,
    "report": report,
    "check": check,
    "new": new,
    "rm": rm,
}
