"""Check the import of a plugin in a child process: its time, its output and its changes of the process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.registry.discovery import entry_points
from harness.system.distribution import DISTRIBUTION
from harness.testing.suite import Result, Status

LIMIT_S = 20.0  # largest acceptable time of an import, which delays every new worker of a sweep
FIRST, THEN = "numpy torch", "sklearn pytorch_lightning"  # packages that harness imports before a plugin
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
    """Check the import of plugins.

    Args:
        plugins: The (distribution, name of the entry point) of each plugin.
    """
    selected = set(plugins)
    return [
        _result(distribution, point.name)
        for point, distribution, _ in entry_points()
        if (distribution, point.name) in selected
    ]


def _result(distribution: str, plugin: str) -> Result:
    """Check a plugin with few packages imported before; if that fails, with all that harness would import.

    The first takes half the time and suffices for most plugins. The second keeps a plugin from being blamed for the
    packages that harness imports anyway.
    """
    all_packages = f"{FIRST} {THEN}"
    if distribution == DISTRIBUTION:  # its plugins import both
        return _import_in_child(distribution, plugin, all_packages)[0]
    result, more = _import_in_child(distribution, plugin, FIRST)
    return _import_in_child(distribution, plugin, all_packages)[0] if result.status != "passed" and more else result


def _import_in_child(distribution: str, plugin: str, before: str) -> tuple[Result, list[str]]:
    """Import a plugin after some packages; return the result, and those of `THEN` that it has imported."""

    def outcome(status: Status, finding: str, seconds: float = 0.0) -> Result:
        return Result(plugin, "imports", status, finding, seconds)

    with tempfile.TemporaryDirectory() as folder:
        answer, output = Path(folder) / "answer.json", Path(folder) / "output.txt"
        names = [plugin, distribution, str(answer), before, THEN]
        command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), *names]
        with output.open("w") as file:
            process = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
        if not answer.exists():
            return outcome("failed", (process.stderr.strip().splitlines() or ["it ended the process"])[-1]), []
        seconds, changed, more = json.loads(answer.read_text())
        printed = output.read_text().strip()
    if changed:
        return outcome("failed", f"its import changes {', '.join(changed)}", seconds), more
    if printed:
        return outcome("failed", f"its import prints {printed.splitlines()[0]!r}", seconds), more
    if seconds > LIMIT_S:
        return outcome("failed", f"its import takes {seconds:.0f} s", seconds), more
    return outcome("passed", f"{seconds:.2f} s beyond {before.replace(' ', ', ')}", seconds), more
