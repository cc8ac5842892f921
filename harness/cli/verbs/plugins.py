"""List installed, blocked and broken plugins."""

from __future__ import annotations

import argparse
import dataclasses
import json

from harness.system.errors import suggest
from harness.system.escape import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.analysis.report.table import render
    from harness.registry import catalogue
    from harness.registry.discovery import blocked

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
        print(f"HARNESS_BLOCK names {name!r}, and no such plugin is installed.{suggest(name, names, listed=False)}")
    return 0
