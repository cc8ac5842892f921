"""Export a study: as a bundle to send, as a table, or to another tool.

A bundle (FILE.zip) holds the records, curves and configs, and those of the tuning. `harness report FILE.zip`, `harness
merge` and `harness.load` read it as a study. A table (FILE.parquet, FILE.csv) has a row for each run. bencheval writes
STUDY.bencheval.csv, the results frame of that package. An existing FILE is not replaced.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

from harness.results.record import Records
from harness.results.study import load, open_study, study_folder
from harness.system.errors import HarnessError
from harness.system.escape import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", metavar="STUDY", help="a folder, a name under outputs/, or a bundle (FILE.zip)")
    targets = f"{', '.join(f'FILE{suffix}' for suffix in _FILES)}, or {' or '.join(_TOOLS)}"
    add("--to", metavar="TARGET", required=True, help=targets)


def run(args: argparse.Namespace) -> int:
    path = Path(args.to)
    if args.to in _TOOLS:
        line = _TOOLS[args.to](args.study)
    elif (write := _FILES.get(path.suffix.lower())) is not None:
        line = write(args.study, path)
    else:
        files = ", ".join(f"FILE{suffix}" for suffix in _FILES)
        raise HarnessError(f"harness export: --to {args.to}: expected {files} or {', '.join(_TOOLS)}")
    print(printable(line))
    return 0


def _bundle(study: str, path: Path) -> str:
    from harness.results.bundle import write_bundle

    runs, trials, left_out = write_bundle(study_folder(study), path)
    if left_out:
        more = f"; and {len(left_out) - 3} more files" if len(left_out) > 3 else ""
        warnings.warn(f"left out: {'; '.join(left_out[:3])}{more}", stacklevel=2)
    tuned = f" and {trials} trials" if trials else ""
    return f"wrote {path}: {runs} runs{tuned}, {path.stat().st_size / 1e6:.1f} MB"


def _table(study: str, path: Path) -> str:
    from harness.analysis.export.tables import write_table

    records = _records(study)
    write_table(records, path)
    return f"wrote {path}: {len(records)} runs"


def _bencheval(study: str) -> str:
    from harness.analysis.export import bencheval, tables
    from harness.results.bundle import refuse_taken

    path = Path(f"{Path(study).name.removesuffix('.zip')}.bencheval.csv")
    refuse_taken(path)
    frame, metric = bencheval.frame(_records(study))
    tables.write(frame, path)
    error = f"1 - {metric.name}" if metric.share else metric.name
    return f"wrote {path}: {len(frame)} runs, metric_error is {error}"


def _records(study: str) -> Records:
    records = load(open_study(study))
    if not len(records):
        raise HarnessError(f"no runs in {study}")
    return records


_FILES: dict[str, Callable[[str, Path], str]] = {".zip": _bundle, ".parquet": _table, ".csv": _table}
_TOOLS: dict[str, Callable[[str], str]] = {"bencheval": _bencheval}
