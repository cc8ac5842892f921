"""Show a component: its documentation, settings, search spaces and reference."""

from __future__ import annotations

import argparse
import json

from harness.cli.verbs.list import PUBLIC
from harness.system.errors import HarnessError
from harness.system.escape import lines


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("component", metavar="KIND/NAME")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.analysis.report.component import describe
    from harness.registry import catalogue

    kind, slash, name = args.component.partition("/")
    if not slash:
        kinds = [f"{entry['kind']}/{kind}" for entry in catalogue.current() if entry["name"] == kind]
        hint = f"Did you mean {' or '.join(map(repr, kinds))}?" if kinds else "For example: optimizer/adam."
        raise HarnessError(f"harness show takes KIND/NAME, got {args.component!r}. {hint}")
    entry = catalogue.current().get(kind, name)
    print(json.dumps({key: entry[key] for key in PUBLIC}, indent=1) if args.json else lines(describe(entry)))
    return 0
