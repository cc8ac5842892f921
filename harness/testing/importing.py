"""What the import of a plugin costs, and what it leaves behind: seen in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.registry import entry_points
from harness.testing.suite import Result

LIMIT_S = 20.0  # above it, every new worker of a sweep is kept waiting
_CHILD = """
import json, sys, time
sys.path[:] = json.loads(sys.argv[1])
import numpy, torch, sklearn, pytorch_lightning
from harness.registry import entry_points, load
from harness.testing.common import shared
(point,) = [p for p, distribution, _ in entry_points() if [p.name, distribution] == sys.argv[2:4]]
before = shared()
began = time.perf_counter()
load(point, sys.argv[3])
seconds = time.perf_counter() - began
after = shared()
changed = [name for name in before if before[name] != after[name]]
open(sys.argv[4], "w").write(json.dumps([seconds, changed]))
"""


def imported(plugins: Iterable[tuple[str, str]]) -> list[Result]:
    """For each plugin, of a distribution and by its name: how long its import and its hooks take, what they change."""
    wanted = set(plugins)
    return [
        _result(distribution, point.name)
        for point, distribution, _ in entry_points()
        if (distribution, point.name) in wanted
    ]


def _result(distribution: str, plugin: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        answer, said = Path(folder) / "answer.json", Path(folder) / "said.txt"
        command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), plugin, distribution, str(answer)]
        with said.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["it ended the process"])[-1]
            return Result(plugin, "imports", "failed", last)
        seconds, changed = json.loads(answer.read_text())
        printed = said.read_text().strip()
    if changed:
        return Result(plugin, "imports", "failed", f"its import changes {', '.join(changed)}", seconds)
    if printed:
        return Result(plugin, "imports", "failed", f"its import prints {printed.splitlines()[0]!r}", seconds)
    if seconds > LIMIT_S:
        return Result(plugin, "imports", "failed", f"its import takes {seconds:.0f} s", seconds)
    return Result(plugin, "imports", "passed", f"{seconds:.2f} s beyond torch and harness", seconds)
