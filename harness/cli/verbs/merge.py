"""Merge studies or bundles: copy their runs into the first one, or into a new one.

Runs are matched by their IDs. A run that is there already is not copied; a completed run replaces one that failed or
was interrupted. Two runs of one ID with different results are a conflict: the first is kept, a line names both, and the
exit status is 1. Trials of tuning and the looks of reports are merged, too. Repeat the command after a crash.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict
from pathlib import Path

from harness.results.study import OUTPUTS, open_study, study_folder
from harness.system.errors import HarnessError, short_path
from harness.system.escape import printable

MAX_LISTED = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("studies", metavar="STUDY", nargs="+", help="folders, names under outputs/, or bundles (FILE.zip)")
    add("--into", metavar="NAME", help="a new study, as a folder or a name under outputs/ (default: the first STUDY)")
    add("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.execution.merge import merge

    if args.into is None and len(args.studies) < 2:
        raise HarnessError("harness merge takes two studies or more, or --into NAME")
    into = study_folder(args.studies[0]) if args.into is None else _new(args.into, args.studies)
    if (into / "record.json").exists():
        raise HarnessError(f"{into} is a run, not a study: harness merge {into.parent} ...")
    sources = args.studies if args.into is not None else args.studies[1:]
    result = merge([(name, open_study(name, configs=True)) for name in sources], into)
    if result.left_out:
        more = f"; and {len(result.left_out) - 3} more" if len(result.left_out) > 3 else ""
        warnings.warn(f"left out: {'; '.join(result.left_out[:3])}{more}", stacklevel=1)
    if args.json:
        print(json.dumps({"into": str(into), **asdict(result)}, indent=1))
        return 1 if result.conflicts else 0
    counts = [
        f"{result.added} runs added",
        *([f"{result.trials} trials added"] if result.trials else []),
        *([f"{result.replaced} replaced by runs that completed"] if result.replaced else []),
        *([f"{result.equal} there already"] if result.equal else []),
        *([f"{result.unfinished} left out that have not ended"] if result.unfinished else []),
    ]
    print(printable(f"{short_path(into)}: {', '.join(counts)}"))
    for line in result.conflicts[:MAX_LISTED]:
        print(printable(f"conflict  {line}"))
    if len(result.conflicts) > MAX_LISTED:
        print(f"and {len(result.conflicts) - MAX_LISTED} more conflicts")
    return 1 if result.conflicts else 0


def _new(name: str, studies: list[str]) -> Path:
    """Return the folder of a study to create.

    Raises:
        HarnessError: If it exists.
    """
    folder = Path(name) if name.startswith((".", "/", f"{OUTPUTS}/")) else Path(OUTPUTS) / name
    if name.endswith(".zip"):
        raise HarnessError(f"--into {name}: expected a study; merge into one first, then harness export it")
    if folder.exists() or folder.is_symlink():
        raise HarnessError(f"{folder} exists: harness merge {name} {' '.join(studies)} adds to it")
    return folder
