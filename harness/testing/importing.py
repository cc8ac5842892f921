"""What the import of a plugin costs, and what it leaves behind: seen in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.registry.discovery import entry_points
from harness.testing.suite import Result, Status

LIMIT_S = 20.0  # above it, every new worker of a sweep is kept waiting
FIRST, THEN = "numpy torch", "sklearn pytorch_lightning"  # what harness has imported before it
_CHILD = """
import json, sys, time
sys.path[:] = json.loads(sys.argv[1])
for name in sys.argv[5].split():
    __import__(name)
import contextlib
from harness.registry import discovery
discovery.kept = lambda *_: contextlib.nullcontext()  # harness would put back what the import changes before it is seen
from harness.registry.discovery import entry_points, load
from harness.system.process_state import states
(point,) = [p for p, distribution, _ in entry_points() if [p.name, distribution] == sys.argv[2:4]]
before = states()
began = time.perf_counter()
load(point, sys.argv[3])
seconds = time.perf_counter() - began
after = states()
changed = [name for name in before if before[name] != after[name]]
more = [name for name in sys.argv[6].split() if name in sys.modules]
open(sys.argv[4], "w").write(json.dumps([seconds, changed, more]))
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
    """Most plugins import little, and are asked in half the time; no other is blamed for what harness would import."""
    whole = f"{FIRST} {THEN}"
    if distribution == "harness":  # its plugins import both
        return _seen(distribution, plugin, whole)[0]
    found, more = _seen(distribution, plugin, FIRST)
    return _seen(distribution, plugin, whole)[0] if found.status != "passed" and more else found


def _seen(distribution: str, plugin: str, before: str) -> tuple[Result, list[str]]:
    """What was found with so much imported before, and what of `THEN` the plugin has imported."""

    def told(status: Status, finding: str, seconds: float = 0.0) -> Result:
        return Result(plugin, "imports", status, finding, seconds)

    with tempfile.TemporaryDirectory() as folder:
        answer, said = Path(folder) / "answer.json", Path(folder) / "said.txt"
        names = [plugin, distribution, str(answer), before, THEN]
        command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), *names]
        with said.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
        if not answer.exists():
            return told("failed", (done.stderr.strip().splitlines() or ["it ended the process"])[-1]), []
        seconds, changed, more = json.loads(answer.read_text())
        printed = said.read_text().strip()
    if changed:
        return told("failed", f"its import changes {', '.join(changed)}", seconds), more
    if printed:
        return told("failed", f"its import prints {printed.splitlines()[0]!r}", seconds), more
    if seconds > LIMIT_S:
        return told("failed", f"its import takes {seconds:.0f} s", seconds), more
    return told("passed", f"{seconds:.2f} s beyond {before.replace(' ', ', ')}", seconds), more
