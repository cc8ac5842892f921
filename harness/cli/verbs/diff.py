"""Compare two runs: what differs in config, code, environment, data and results.

A RUN is a folder, or STUDY/ID with the first digits of its ID; STUDY is a folder, a name under outputs/ or a bundle
(FILE.zip). Digests of the code say which packages of components differ, also where their versions are equal.
"""

from __future__ import annotations

import argparse
import json

from harness.results.study import find_run


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("a", metavar="RUN", help="the first run, for example first/3f2a9c")
    add("b", metavar="RUN", help="the second run")
    add("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.analysis.report.diff import diff, diff_text

    found = diff(find_run(args.a), find_run(args.b))
    print(json.dumps(found.to_json(), indent=1, default=str) if args.json else diff_text(found))
    return 0
