"""Export a study: as a bundle to send, as a table, or to another tool.

A bundle (FILE.zip) holds the records, curves and configs, and those of the tuning. `harness report FILE.zip`, `harness
merge` and `harness.load` read it as a study. A table (FILE.parquet, FILE.csv) has a row for each run. bencheval writes
STUDY.bencheval.csv, the results frame of that package. An existing FILE is not replaced.

mlflow, wandb and trackio get a run for each run, with its settings, curves and results; runs that are there already are
skipped. They use their own settings: MLFLOW_TRACKING_URI, WANDB_MODE, WANDB_DIR, TRACKIO_DIR.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.results.record import Records
from harness.results.study import OUTPUTS, load, open_study, study_folder
from harness.system.errors import HarnessError
from harness.system.escape import printable

Written = tuple[str, dict[str, Any]]  # what was written, as a line and as data


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", metavar="STUDY", help="a folder, a name under outputs/, or a bundle (FILE.zip)")
    add("--to", metavar="TARGET", required=True, help=_targets())
    add("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    path = Path(args.to)
    if args.to in _TOOLS:
        line, row = _TOOLS[args.to](args.study)
    elif (write := _FILES.get(path.suffix.lower())) is not None:
        line, row = write(args.study, path)
    else:
        raise HarnessError(f"harness export: --to {args.to}: expected {_targets()}")
    print(json.dumps({"to": args.to, **row}, indent=1) if args.json else printable(line))
    return 0


def _targets() -> str:
    *others, last = (*(f"FILE{suffix}" for suffix in _FILES), *_TOOLS)
    return f"{', '.join(others)} or {last}"


def _bundle(study: str, path: Path) -> Written:
    from harness.results.bundle import write_bundle

    runs, trials, left_out = write_bundle(study_folder(study), path)
    if left_out:
        more = f"; and {len(left_out) - 3} more files" if len(left_out) > 3 else ""
        warnings.warn(f"left out: {'; '.join(left_out[:3])}{more}", stacklevel=2)
    tuned = f" and {trials} trials" if trials else ""
    row = {"file": str(path), "runs": runs, "trials": trials, "left_out": left_out}
    return f"wrote {path}: {runs} runs{tuned}, {path.stat().st_size / 1e6:.1f} MB", row


def _table(study: str, path: Path) -> Written:
    from harness.analysis.export.tables import write_table

    records = _records(study)
    write_table(records, path)
    return f"wrote {path}: {len(records)} runs", {"file": str(path), "runs": len(records)}


def _bencheval(study: str) -> Written:
    from harness.analysis.export import bencheval, tables
    from harness.results.bundle import refuse_taken

    path = Path(f"{Path(study).name.removesuffix('.zip')}.bencheval.csv")
    refuse_taken(path)
    frame, metric = bencheval.frame(_records(study))
    tables.write(frame, path)
    error = f"1 - {metric.name}" if metric.share else metric.name
    row = {"file": str(path), "runs": len(frame), "metric_error": error}
    return f"wrote {path}: {len(frame)} runs, metric_error is {error}", row


def _mlflow(study: str) -> Written:
    from harness.analysis.export.to_mlflow import MLflow

    return _to_tool(study, MLflow)


def _wandb(study: str) -> Written:
    from harness.analysis.export.to_wandb import Wandb

    return _to_tool(study, Wandb)


def _trackio(study: str) -> Written:
    from harness.analysis.export.to_trackio import Trackio

    return _to_tool(study, Trackio)


def _to_tool(study: str, kind: Any) -> Written:
    from harness.analysis.export.runs import export

    records = _records(study)
    tool = kind(_name(study))
    counts = export(records, tool, kind.__name__)
    return f"{kind.__name__.lower()} ({tool.where}): {counts}", {"where": tool.where, **asdict(counts)}


def _name(study: str) -> str:
    """Return the name of a study from what was typed: `outputs/papers/first` is papers/first."""
    return study.removesuffix(".zip").strip("/").removeprefix(f"{OUTPUTS}/")


def _records(study: str) -> Records:
    records = load(open_study(study))
    if not len(records):
        raise HarnessError(f"no runs in {study}")
    return records


_FILES: dict[str, Callable[[str, Path], Written]] = {".zip": _bundle, ".parquet": _table, ".csv": _table}
_TOOLS: dict[str, Callable[[str], Written]] = {
    "bencheval": _bencheval,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}
