"""The catalogue: what help, listing, completion and composition need to know, without importing any plugin.

Each plugin is scanned once in a child process of its own, which may import torch, print, exit or hang; what it
told is kept as JSON under a key of everything that could change it. A warm answer reads a few small files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, suggest
from harness.kinds import KINDS
from harness.registry import Problem, blocked, entry_points

SCAN_TIMEOUT_S = float(os.environ.get("HARNESS_SCAN_TIMEOUT", "120"))


@dataclass
class Plugin:
    """An installed plugin, as `harness plugins` shows it."""

    name: str
    distribution: str
    version: str
    status: str  # installed | blocked | broken
    components: list[str] = field(default_factory=list)


@dataclass
class Catalogue:
    """Every component by kind and name, every plugin, every problem."""

    entries: dict[str, dict[str, dict[str, Any]]]
    plugins: list[Plugin]
    problems: list[Problem]
    config_dirs: list[tuple[str, str]]  # (distribution, pkg://...)
    trainer: dict[str, Any]  # Lightning's Trainer: its parameters and defaults

    def names(self, kind: str) -> list[str]:
        """The components of a kind."""
        return sorted(self.entries.get(kind, {}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One component's row. Raises HarnessError with the nearest name, or with the problem that left it out."""
        if kind not in KINDS:
            raise HarnessError(f"no kind {kind!r}.{suggest(kind, KINDS)}")
        if name not in self.entries[kind]:
            label = f"{kind}/{name}"
            for problem in self.problems:
                if label in problem.message.split():
                    raise HarnessError(f"{label} is left out: {problem.message}")
            raise HarnessError(f"no {kind} {name!r}.{suggest(name, self.names(kind))}")
        return self.entries[kind][name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for kind in KINDS:
            for name in self.names(kind):
                yield self.entries[kind][name]


def cache_folder() -> Path:
    """Where catalogues are kept: HARNESS_CACHE, else the user's cache folder."""
    base = os.environ.get("HARNESS_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "harness"


_current: Catalogue | None = None


def current() -> Catalogue:
    """This process's catalogue, read once."""
    global _current
    if _current is None:
        _current = read()
    return _current


def read() -> Catalogue:
    """The catalogue of what is installed now, scanning what is new."""
    out = blocked()
    installed = _installed()
    points = list(entry_points())
    wanted = [(p, d, v) for p, d, v in points if p.name not in out and d not in out]
    jobs = [("trainer", "", _digest(["trainer", *installed, *_tree(Path(__file__).parent)]))]
    for point, distribution, version in wanted:
        files = [*_sources(point.value), *_tree(Path(__file__).parent)]
        jobs.append((point.name, distribution, _digest([point.value, distribution, version, *installed, *files])))
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        scans = list(pool.map(lambda job: _cached(*job), jobs))
    plugins = [Plugin(p.name, d, v, "blocked") for p, d, v in points if p.name in out or d in out]
    return _merge([(p.name, d, v) for p, d, v in wanted], scans[1:], plugins, scans[0].get("trainer", {}))


def _merge(
    wanted: list[tuple[str, str, str]],
    scans: list[dict[str, Any]],
    plugins: list[Plugin],
    trainer: dict[str, Any],
) -> Catalogue:
    problems = [Problem(**row) for scan in scans for row in scan["problems"]]
    offers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (name, distribution, _), scan in zip(wanted, scans, strict=True):
        for row in scan["components"]:
            row = row | {"plugin": name, "origin": distribution}
            offers.setdefault((row["kind"], row["name"]), []).append(row)
    entries: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
    for (kind, name), rows in offers.items():
        # The harness's own names are not for the taking; of two strangers neither wins by the order of files.
        own = [row for row in rows if row["origin"] == "harness"]
        if len(rows) == 1 or own:
            entries[kind][name] = (own or rows)[0]
        for row in rows if len(rows) > 1 else []:
            if row not in own:
                providers = " and ".join(f"{r['plugin']!r} of {r['origin']}" for r in rows)
                message = f"{kind}/{name} is offered by {providers}; uninstall or block one (HARNESS_BLOCK)"
                problems.append(Problem(row["plugin"], row["origin"], "duplicate", message))
    for name, distribution, version in wanted:
        mine = [
            f"{k}/{n}"
            for k, names in entries.items()
            for n, r in names.items()
            if r["plugin"] == name and r["origin"] == distribution
        ]
        wrong = any(p.plugin == name and p.distribution == distribution for p in problems)
        plugins.append(Plugin(name, distribution, version, "broken" if wrong else "installed", sorted(mine)))
    folders = [(d, folder) for (_, d, _), scan in zip(wanted, scans, strict=True) for folder in scan["config_dirs"]]
    return Catalogue(entries, sorted(plugins, key=lambda p: (p.distribution, p.name)), problems, folders, trainer)


def _cached(plugin: str, distribution: str, key: str) -> dict[str, Any]:
    path = cache_folder() / "catalogue" / f"{plugin}-{key}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        pass
    found = _scan(plugin, distribution)
    if any(p["stage"] == "scan" for p in found.get("problems", [])):
        return found  # a time-out or a crash may be the machine's fault: ask again next time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f"{plugin}-" + "?" * len(key) + ".json"):
            stale.unlink(missing_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(found, file)
        os.replace(beside, path)
    except OSError:
        pass  # a cache that cannot be written costs time, never the answer
    return found


def _scan(plugin: str, distribution: str) -> dict[str, Any]:
    """Asks a child process what a plugin offers."""

    def failed(message: str) -> dict[str, Any]:
        row = {
            "plugin": plugin,
            "distribution": distribution,
            "stage": "scan",
            "message": message,
            "traceback": "",
        }
        return {"components": [], "config_dirs": [], "problems": [row]}

    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), plugin, distribution, str(answer)]
        try:
            done = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=SCAN_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return failed(f"it did not finish loading within {SCAN_TIMEOUT_S:g} s")
        try:
            return json.loads(answer.read_text())
        except (OSError, ValueError):
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return failed(f"the process that loaded it died with status {done.returncode}: {said[-1] if said else ''}")


_CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from harness import scan; scan.main(*sys.argv[2:])"


def _installed() -> list[str]:
    """Every installed distribution's folder name: any install, upgrade or removal changes it."""
    names = {sys.version, sys.prefix}
    for folder in sys.path:
        try:
            names.update(n for n in os.listdir(folder or ".") if n.endswith((".dist-info", ".egg-info", ".pth")))
        except OSError:
            continue
    return sorted(names)


def _sources(value: str) -> Iterator[str]:
    """Path, size and time of every file under the top-level package of an entry point, without executing it."""
    try:
        spec = importlib.util.find_spec(value.partition(":")[0].partition(".")[0].strip())
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for root in spec.submodule_search_locations or [spec.origin or ""]:
        yield from _tree(Path(root))


def _tree(root: Path) -> Iterator[str]:
    if root.is_file():
        stat = root.stat()
        yield f"{root} {stat.st_size} {stat.st_mtime_ns}"
        return
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f != "__pycache__")
        for file in sorted(files):
            try:
                stat = os.stat(os.path.join(folder, file))
            except OSError:
                continue
            yield f"{folder}/{file} {stat.st_size} {stat.st_mtime_ns}"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """{distribution: version} of every installed plugin."""
    return {d: v for _, d, v in entry_points()} or {"harness": importlib.metadata.version("harness")}
