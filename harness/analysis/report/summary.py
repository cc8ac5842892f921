"""What is printed when a run or a sweep ends."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.analysis.report.failures import ROWS, endings, shorter
from harness.analysis.report.notes import of_run, of_sweep
from harness.analysis.report.table import aligned
from harness.analysis.report.tally import Best, Tally
from harness.execution.sweep.callbacks import over
from harness.results.record import FILE, Record
from harness.system.errors import beside
from harness.system.escape import printable


def run_summary(record: Record) -> str:
    """What was trained, its metrics, its folder, and how to look inside."""
    c, d = record.choices, record.data
    lists = "".join(
        f", {kind} {'+'.join(c[kind])}" for kind in ("regularizer", "augmentation", "corruption") if c[kind]
    )
    size = f"{record.model['parameters']:,} parameters, " if record.model else ""  # none where it ended before
    model = f"{c['model']} ({size}{c['activation']})"
    lines = [
        f"{_headline(record)}  {record.name}",
        f"  trained   {model} on {d['name']} ({d['train']}/{d['val']}/{d['test']}) with {c['optimizer']}{lists}",
    ]
    for split in ("train", "val", "test"):
        own = {n.partition("/")[2]: v for n, v in record.metrics.items() if n.startswith(f"{split}/")}
        if own:
            lines.append(f"  {split:<8}  " + "  ".join(f"{name} {value:.4f}" for name, value in own.items()))
    if once := {n: v for n, v in record.metrics.items() if "/" not in n}:
        lines.append("  at end    " + "  ".join(f"{name} {value:.4f}" for name, value in once.items()))
    lines += _baseline(record)
    if d.get("left_out"):
        lines.append("  left out  " + ", ".join(f"{name} ({why})" for name, why in d["left_out"].items()))
    if d.get("overlap"):
        lines.append(f"  overlap   {d['overlap']} samples stand in more than one split")
    seconds = record.time.get("fit_s")
    if seconds is not None and record.time["epochs"]:
        lines.append(f"  time      {seconds:.2f} s, {record.time['samples_per_s']:,.0f} samples a second")
    lines += of_run(record)
    if record.error:
        where = f"; the traceback is in {beside(record.folder)}/record.json" if record.error.get("traceback") else ""
        lines.append(f"  error     {record.error['type']}: {' '.join(str(record.error['message']).split())}{where}")
    lines.append(f"  folder    {beside(record.folder)}")
    lines.append(f"  look      {board_command(record.folder)}")
    return "\n".join(map(printable, lines))


def _baseline(record: Record) -> list[str]:
    """What a prediction without any input scores, beside the metric that it is to be compared with."""
    if (majority := record.data.get("majority")) and "test/accuracy" in record.metrics:
        return [f"  majority  {majority['test']:.0%}: the accuracy on test of answering {majority['class']!r} always"]
    if (mean := record.data.get("mean")) and "test/mse" in record.metrics:
        return [f"  mean      mse {mean['test']:.4g}: the error on test of predicting the training mean"]
    return []


def sweep_summary(records: Sequence[Record], times: tuple[float, float] | None = None, width: int | None = None) -> str:
    """How many runs ended how, why some did not complete, the best, how they were trained, and where to look.

    `times` are the seconds that the sweep took, and those of them that went into training; lines of runs are fitted
    to `width` columns, or whole without.
    """
    if not records:
        return "the launcher's runs ended where this command does not see them: harness report STUDY shows them"
    tally = Tally()
    for record in records:
        tally.add(record)
    studies = sorted({beside(record.folder.parent) for record in records})
    lines = [f"{len(records)} runs: " + ", ".join(f"{n} {status}" for status, n in tally.counted())]
    lines += _endings(records, studies[0], width)
    lines += of_sweep(records)
    lines += [_best(best, width) for best in tally.best.values()]
    lines += _ways(tally)
    if times is not None:
        whole, training = times
        each = f"; training {training:.1f} s, {1000 * training / tally.trained:,.0f} ms a run" if tally.trained else ""
        lines.append(f"  time      {whole:.1f} s{each}")
    for study in studies:
        lines.append(f"  report    {program()} report {shlex.quote(study)}")
        lines.append(f"  look      {board_command(Path(study))}")
    return "\n".join(map(printable, lines))


def _endings(records: Sequence[Record], study: str, width: int | None) -> list[str]:
    found = endings(records, whole=width is None)
    shown = found[:ROWS]
    rows = [[status, name if width is None else shorter(name, width // 2), *more] for _, (status, name, *more) in shown]
    lines = [_cut(f"  {line}", width) for line in aligned([""] * 4, rows)[1:]]
    left = sum(runs for runs, _ in found[ROWS:])
    if left:
        lines.append(f"  and {left} more: {program()} report {shlex.quote(study)}")
    traced = next((r for r in records if r.status == "failed" and (r.error or {}).get("traceback")), None)
    return lines if traced is None else [*lines, f"  trace     {beside(traced.folder / FILE)}"]


def _ways(tally: Tally) -> list[str]:
    told = [
        f"{path} {trained.runs} {over(executor)}" + (f" ({trained.why})" if trained.why else "")
        for (path, executor), trained in tally.ways.items()
    ]
    return [f"  {'' if index else 'path':<8}  {text}" for index, text in enumerate(told)]


def _best(best: Best, width: int | None) -> str:
    line = f"  best      {best.metric} {best.value:.4g}  "
    return line + (best.name if width is None else shorter(best.name, max(20, width - len(line))))


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def board_command(folder: Path) -> str:
    """The command that opens TensorBoard on a folder."""
    return f"{program()} board {shlex.quote(beside(folder))}"


def program() -> str:
    """What to type for `harness`: a path where the environment that it runs in is not the shell's."""
    typed = Path(sys.argv[0])
    if typed.name != "harness" or shutil.which("harness"):
        return "harness"
    return shlex.quote(os.path.relpath(typed))


def _headline(record: Record) -> str:
    return f"{record.status} (already; rerun=true trains it again)" if record.cached else record.status
