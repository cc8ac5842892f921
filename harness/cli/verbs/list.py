"""List components and their origin."""

from __future__ import annotations

import argparse
import json

from harness.system.errors import HarnessError, suggest

PUBLIC = ("kind", "name", "origin", "parameters", "reference", "doc")  # what --json prints of a component


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", metavar="KIND", help="list only this kind")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.analysis.report.table import render
    from harness.registry import catalogue
    from harness.registry.kinds import KINDS

    if args.kind is not None and args.kind not in KINDS:
        raise HarnessError(f"no kind {args.kind!r}.{suggest(args.kind, KINDS)}")
    found = [entry for entry in catalogue.current() if args.kind in (None, entry["kind"])]
    if args.json:
        print(json.dumps([{key: entry[key] for key in PUBLIC} for entry in found], indent=1))
        return 0
    rows = [[e["kind"], e["name"], _first_line(e["doc"]), e["origin"]] for e in found]
    render(["kind", "name", "", "origin"], rows)
    for hint in catalogue.current().hints(args.kind):
        print(hint)
    return 0


def _first_line(doc: str) -> str:
    return doc.splitlines()[0] if doc else ""
