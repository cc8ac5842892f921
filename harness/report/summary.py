"""What is printed when a run or a sweep ends."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.record import Record


def run_summary(record: Record) -> str:
    """What was trained, its metrics, its folder, and how to look inside."""
    c, d = record.choices, record.data
    lists = "".join(
        f", {kind} {'+'.join(c[kind])}" for kind in ("regularizer", "augmentation", "corruption") if c[kind]
    )
    model = f"{c['model']} ({record.model['parameters']:,} parameters, {c['activation']})"
    lines = [
        f"{_headline(record)}  {record.name}",
        f"  trained   {model} on {d['name']} ({d['train']}/{d['val']}/{d['test']}) with {c['optimizer']}{lists}",
    ]
    for split in ("train", "val", "test"):
        own = {n.partition("/")[2]: v for n, v in record.metrics.items() if n.startswith(f"{split}/")}
        if own:
            lines.append(f"  {split:<8}  " + "  ".join(f"{name} {value:.4f}" for name, value in own.items()))
    if d.get("overlap"):
        lines.append(f"  overlap   {d['overlap']} samples stand in more than one split")
    seconds = record.time.get("fit_s")
    if seconds is not None and record.time["epochs"]:
        lines.append(f"  time      {seconds:.2f} s, {record.time['samples_per_s']:,.0f} samples a second")
    if record.error:
        where = f"; the traceback is in {record.folder}/record.json" if record.error.get("traceback") else ""
        lines.append(f"  error     {record.error['type']}: {record.error['message']}{where}")
    lines.append(f"  folder    {record.folder}")
    lines.append(f"  look      {board_command(record.folder)}")
    return "\n".join(lines)


def sweep_summary(records: Sequence[Record]) -> str:
    """How many runs ended how, the failed ones with their reasons, and where to look."""
    if not records:
        return "the launcher's runs ended where this command does not see them: harness report STUDY shows them"
    counts = Counter("already complete" if r.cached else r.status for r in records)
    lines = [f"{len(records)} runs: " + ", ".join(f"{n} {status}" for status, n in counts.items())]
    for record in records:
        if record.error:
            lines.append(f"  {record.status}  {record.name}: {record.error['type']}: {record.error['message']}")
    studies = sorted({str(record.folder.parent) for record in records})
    for study in studies:
        lines.append(f"  report    {program()} report {shlex.quote(study)}")
        lines.append(f"  look      {board_command(Path(study))}")
    return "\n".join(lines)


def board_command(folder: Path) -> str:
    """The command that opens TensorBoard on a folder."""
    return f"{program()} board {shlex.quote(str(folder))}"


def program() -> str:
    """What to type for `harness`: a path where the environment that it runs in is not the shell's."""
    typed = Path(sys.argv[0])
    if typed.name != "harness" or shutil.which("harness"):
        return "harness"
    return shlex.quote(os.path.relpath(typed))


def _headline(record: Record) -> str:
    return f"{record.status} (already; rerun=true trains it again)" if record.cached else record.status
