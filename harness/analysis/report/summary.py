"""The summary that is printed after a run or a sweep."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.analysis.comparison.chance import constant_scores
from harness.analysis.report.failures import MAX_ROWS, failure_rows, shorten
from harness.analysis.report.notes import run_notes, sweep_notes
from harness.analysis.report.outcome import outcome
from harness.analysis.report.table import aligned
from harness.analysis.report.tally import Tally
from harness.execution.sweep.callbacks import over
from harness.results.record import FILE, Record
from harness.system.errors import short_path
from harness.system.escape import printable


def run_summary(record: Record) -> str:
    """Return the summary of a run: model, data, metrics, warnings, folder, and the command that opens TensorBoard."""
    c, d = record.choices, record.data
    lists = "".join(
        f", {kind} {'+'.join(c[kind])}" for kind in ("regularizer", "augmentation", "corruption") if c[kind]
    )
    size = f"{record.model['parameters']:,} parameters, " if record.model else ""  # unknown if the run ended early
    model = f"{c['model']} ({size}{c['activation']})"
    did = "trained" if record.config.get("train", True) else "evaluated"
    lines = [
        f"{_headline(record)}  {record.name}",
        f"  {did:<9} {model} on {d['name']} ({d['train']}/{d['val']}/{d['test']}) with {c['optimizer']}{lists}",
    ]
    for split in ("train", "val", "test"):
        metrics = {n.partition("/")[2]: v for n, v in record.metrics.items() if n.startswith(f"{split}/")}
        if metrics:
            lines.append(f"  {split:<8}  " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    if final := {n: v for n, v in record.metrics.items() if "/" not in n}:
        lines.append("  at end    " + "  ".join(f"{name} {value:.4f}" for name, value in final.items()))
    lines += _baseline(record)
    if d.get("left_out"):
        lines.append("  left out  " + ", ".join(f"{name} ({why})" for name, why in d["left_out"].items()))
    if d.get("overlap"):
        lines.append(f"  overlap   {d['overlap']} samples are in more than one split")
    seconds = record.time.get("fit_s")
    if seconds is not None and record.time["epochs"]:
        lines.append(f"  time      {seconds:.2f} s, {record.time['samples_per_s']:,.0f} samples a second")
    lines += run_notes(record)
    if record.error:
        where = (
            f"; the traceback is in {short_path(record.folder)}/record.json" if record.error.get("traceback") else ""
        )
        lines.append(f"  error     {record.error['type']}: {' '.join(str(record.error['message']).split())}{where}")
    lines.append(f"  folder    {short_path(record.folder)}")
    lines.append(f"  look      {board_command(record.folder)}")
    return "\n".join(map(printable, lines))


def _baseline(record: Record) -> list[str]:
    """Return the scores of constant predictions in the metrics on test, or on validation if there are none on test."""
    split = next((s for s in ("test", "val") if any(name.startswith(f"{s}/") for name in record.metrics)), "test")
    scores = {n: score for n, score in constant_scores(record.data, split).items() if f"{split}/{n}" in record.metrics}
    lines = []
    for constant in dict.fromkeys(score.constant for score in scores.values()):
        values = {name: score.value for name, score in scores.items() if score.constant == constant}
        if constant == "majority":
            (name, value), *more = values.items()
            line = f"{value:.0%}: the {name} on {split} of answering {record.data['majority']['class']!r} always"
            lines.append("; ".join([f"  majority  {line}", *(f"{name} {value:.0%}" for name, value in more)]))
        else:
            errors = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            lines.append(f"  {constant:<8}  {errors}: predicting the training {constant} on {split}")
    return lines


def sweep_summary(records: Sequence[Record], times: tuple[float, float] | None = None, width: int | None = None) -> str:
    """Return the summary of a sweep: counts by status, failures, the verdict with the best arm, and paths.

    Args:
        records: The runs of the sweep.
        times: Seconds that the whole sweep took, and the part of them that went into training.
        width: Columns that lines of runs are shortened to; None for whole lines.
    """
    if not records:
        return "the launcher has run the sweep elsewhere: harness report STUDY shows its runs"
    tally = Tally()
    for record in records:
        tally.add(record)
    studies = sorted({short_path(record.folder.parent) for record in records})
    lines = [f"{len(records)} runs: " + ", ".join(f"{n} {status}" for status, n in tally.by_status())]
    lines += _failures(records, studies[0], width)
    lines += sweep_notes(records)
    lines += outcome(records, tally.best.values(), width)
    lines += _paths(tally)
    if times is not None:
        total, training = times
        details = (
            f"; training {training:.1f} s, {1000 * training / tally.trained:,.0f} ms a run" if tally.trained else ""
        )
        lines.append(f"  time      {total:.1f} s{details}")
    for study in studies:
        lines.append(f"  report    {program()} report {shlex.quote(study)}")
        lines.append(f"  look      {board_command(Path(study))}")
    return "\n".join(map(printable, lines))


def _failures(records: Sequence[Record], study: str, width: int | None) -> list[str]:
    failures = failure_rows(records, full_names=width is None)
    rows = [
        [status, name if width is None else shorten(name, width // 2), *rest]
        for _, (status, name, *rest) in failures[:MAX_ROWS]
    ]
    lines = [_cut(f"  {line}", width) for line in aligned([""] * 4, rows)[1:]]
    hidden = sum(runs for runs, _ in failures[MAX_ROWS:])
    if hidden:
        lines.append(f"  and {hidden} more: {program()} report {shlex.quote(study)}")
    traced = next((r for r in records if r.status == "failed" and (r.error or {}).get("traceback")), None)
    return lines if traced is None else [*lines, f"  trace     {short_path(traced.folder / FILE)}"]


def _paths(tally: Tally) -> list[str]:
    texts = [
        f"{path} {trained.runs} {over(executor)}" + (f" ({trained.why})" if trained.why else "")
        for (path, executor), trained in tally.paths.items()
    ]
    return [f"  {'' if index else 'path':<8}  {text}" for index, text in enumerate(texts)]


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def board_command(folder: Path) -> str:
    """Return the command that opens TensorBoard on a folder."""
    return f"{program()} board {shlex.quote(short_path(folder))}"


def program() -> str:
    """Return how to type `harness` in the user's shell: its path if it is not on the PATH."""
    typed = Path(sys.argv[0])
    if typed.name != "harness" or shutil.which("harness"):
        return "harness"
    return shlex.quote(os.path.relpath(typed))


def _headline(record: Record) -> str:
    return f"{record.status} (already; rerun=true trains it again)" if record.cached else record.status
