"""Scan each plugin in a child process, and cache the result.

A plugin may import torch, print, exit or hang, so it is never imported here. The result is kept as JSON under a key of
everything that could change it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from harness.registry.kinds import KINDS
from harness.registry.scanning.dependencies import unchanged
from harness.system import safe_files
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import HarnessError
from harness.system.platforms import kill_group
from harness.system.typed_json import Keys, OneOf, checker, refuse_depth

TIMEOUT_S = 120.0  # a first import of torch from a slow disk takes long; HARNESS_SCAN_TIMEOUT overrides it
OURS = ("", DISTRIBUTION)  # distributions that harness cannot work without; "" stands for Lightning
PATIENCE_S = 15.0  # time until a message names the plugin that is still loading
RETRY_S = 600.0  # time for which a time-out or a crash is cached: the machine may have caused it
MAX_SCANS = 8  # cached scans of one plugin, since several environments share the folder
MAX_BYTES = 64 * safe_files.MB  # size of a cached scan

_Parameter = Annotated[
    dict[str, Any],
    Keys({"name": str, "type": Any, "default": Any, "required": bool}, True),
]
_Component = Annotated[
    dict[str, Any],
    Keys(
        {"kind": Annotated[str, OneOf(tuple(KINDS))], "asks": list[str], "parameters": list[_Parameter]}
        | {"name": str, "package": str, "reference": str | None, "doc": str, "traits": dict[str, Any]},
        needed=True,
    ),
]
_Argument = Annotated[dict[str, Any], Keys({"takes": list[str], "choices": list[str], "many": bool}, needed=True)]
_Command = Annotated[
    dict[str, Any],
    Keys({"name": str, "help": str, "flags": dict[str, _Argument | None], "arguments": list[_Argument]}, needed=True),
]
_Problem = Annotated[dict[str, str], Keys(dict.fromkeys(("plugin", "distribution", "stage", "message"), str), True)]
_Scan = Annotated[
    dict[str, Any],
    Keys(
        {"components": list[_Component], "config_dirs": dict[str, list[str]], "problems": list[_Problem]}, needed=True
    ),
    Keys(
        {
            "commands": list[_Command],
            "findings": bool,
            "left_out": dict[str, str],
            "trainer": dict[str, Any],
            "limit": float,
        }
    ),
]
_check = checker(_Scan)
_CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1])"
_CHILD += "; from harness.registry.scanning import scanner; scanner.main(*sys.argv[2:])"


Job = tuple[str, str, str]  # plugin, distribution, key


@dataclass(frozen=True)
class Fingerprint:
    """The state that every plugin's scan depends on: Python, the installed distributions, harness's own files."""

    installed: tuple[str, ...]
    third_party: frozenset[str]  # those of `installed` that bring plugins and are not harness's own
    files: tuple[str, ...]

    def key(self, plugin: str, distribution: str, value: str = "", version: str = "") -> str:
        """Return the cache key of one plugin, from its entry point and the files of its top-level package.

        The key of harness's own plugins does not depend on third-party plugins, so that installing one of these causes
        no slow scan of harness itself.
        """
        names = [name for name in self.installed if distribution not in OURS or name not in self.third_party]
        text = "\n".join([*names, *self.files, value, plugin, distribution, version, *_sources(value)])
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def fingerprint(distributions: Iterable[str]) -> Fingerprint:
    """Return the fingerprint of this environment.

    Args:
        distributions: Distributions that bring plugins.
    """
    installed = _installed()
    others = {_normal(name) for name in distributions} - set(OURS)
    third_party = frozenset(name for name in installed if _owner(name) in others)
    return Fingerprint(tuple(installed), third_party, tuple(stamps(Path(__file__).parents[2])))


def cache_folder() -> Path:
    """Return the folder of cached scans: HARNESS_CACHE, else the user's cache folder."""
    base = os.environ.get("HARNESS_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "harness"


def cached(plugin: str, distribution: str, key: str, again: bool = False) -> dict[str, Any]:
    """Return the scan of a plugin, from the cache or by scanning it.

    The scan of a plugin that hung or crashed is cached too, for ten minutes or until the time limit changes; that of
    harness itself is not, since nothing works without it.

    Args:
        plugin: Name of the entry point; empty for Lightning's Trainer.
        distribution: Distribution of the plugin; empty for Lightning's Trainer.
        key: Cache key from `Fingerprint.key`.
        again: Scan again if the last scan failed.
    """
    path = _path(plugin, distribution, key)
    offer = _read(path)
    if offer is not None and (not _failed(offer) or (not again and _is_recent(path, offer))):
        return offer
    offer = _scan(plugin, distribution)
    if not _failed(offer) or distribution not in OURS:
        _store(path, offer)
    return offer


def cached_together(jobs: Sequence[Job], again: bool = False) -> list[dict[str, Any]]:
    """Return the scans of harness's own plugins and of Lightning's Trainer.

    If several are not cached, one child process scans them, which imports torch once. If that fails, each is scanned by
    itself.
    """
    new = [job for job in jobs if _read(_path(*job)) is None]
    if len(new) > 1:
        for job, offer in zip(new, _scan_together([job[:2] for job in new]), strict=False):
            _store(_path(*job), offer)
    return [cached(*job, again) for job in jobs]


def _path(plugin: str, distribution: str, key: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{distribution or 'lightning'}-{plugin or 'trainer'}")
    return cache_folder() / "catalogue" / f"{name}-{key}.json"


def _store(path: Path, offer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # without a cache everything works, only slower
        _write(path, offer)


def _failed(offer: dict[str, Any]) -> bool:
    return any(problem["stage"] == "scan" for problem in offer["problems"])


def _is_recent(path: Path, offer: dict[str, Any]) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return 0 <= age < RETRY_S and offer.get("limit") == _timeout()


def _read(path: Path) -> dict[str, Any] | None:
    """Return a cached scan, or None if it is missing, malformed or out of date."""
    try:
        text = safe_files.read(path, MAX_BYTES)
        refuse_depth(text)
        offer: dict[str, Any] = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    valid = _check(offer) is None
    return offer if valid and unchanged(offer.get("files", {}), offer.get("environment", {})) else None


def _write(path: Path, offer: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    safe_files.write_file(path, json.dumps(offer).encode(), durable=False)
    pattern = re.compile(re.escape(path.name[: -len("0123456789abcdef.json")]) + r"[0-9a-f]{16}\.json")
    scans = [other for other in path.parent.iterdir() if pattern.fullmatch(other.name)]
    for stale in sorted(scans, key=lambda p: p.stat().st_mtime_ns)[:-MAX_SCANS]:
        stale.unlink(missing_ok=True)


def _scan(plugin: str, distribution: str) -> dict[str, Any]:
    """Scan one plugin in a child process."""
    limit = _timeout()

    def failed(message: str) -> dict[str, Any]:
        row = {"plugin": plugin, "distribution": distribution, "stage": "scan", "message": message}
        return {"components": [], "config_dirs": {}, "problems": [row], "limit": limit}

    status, answer, printed, said = _run_child([(plugin, distribution)], limit, "" if distribution in OURS else plugin)
    if status is None:
        return failed(f"it did not finish loading within {limit:g} s")
    if answer is None:
        lines = said.strip().splitlines()
        more = f": {lines[-1]}" if lines else ""
        return failed(f"the process that loaded it died with status {status}{more}")
    (offer,) = answer
    return _refuse_output(offer, printed, plugin, distribution) if printed and distribution else offer


def _scan_together(plugins: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Scan several of harness's own plugins in one child process; return an empty list if anything goes wrong."""
    _, answer, printed, _ = _run_child(plugins, _timeout(), "")
    return answer if answer is not None and not printed else []


def _run_child(
    plugins: Sequence[tuple[str, str]], limit: float, stranger: str
) -> tuple[int | None, list[dict[str, Any]] | None, str, str]:
    """Scan plugins in a child process, in a session of its own so that its own children end with it.

    Args:
        plugins: The (plugin, distribution) to scan.
        limit: Seconds after which the process is killed.
        stranger: Name of a third-party plugin to name while the user waits; empty for harness's own plugins.

    Returns:
        Exit status (None after a time-out), scans (None if there are none), standard output, standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, printed, said = (Path(folder) / name for name in ("answer.json", "printed.txt", "said.txt"))
        # -P: the working folder is not searched for modules
        command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), json.dumps(plugins), str(answer)]
        with printed.open("wb") as out, said.open("wb") as err:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
            _children.add(child)
            try:
                status = _wait(child, limit, stranger)
            finally:
                kill_group(child)
                _children.discard(child)
        try:
            scans: list[dict[str, Any]] | None = json.loads(answer.read_text())
        except (OSError, ValueError):
            scans = None
        text = " ".join(printed.read_text(errors="replace").split())
        return status, None if status is None else scans, text, said.read_text(errors="replace")


_children: set[subprocess.Popen[bytes]] = set()  # scans in progress


def end_all() -> None:
    """Kill the scans in progress, after an interrupt."""
    for child in list(_children):
        kill_group(child)


def _wait(child: subprocess.Popen[bytes], limit: float, stranger: str) -> int | None:
    """Return a child's exit status, or None after a time-out. Print a line if a third-party plugin takes long."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(min(limit, PATIENCE_S))
    remaining = limit - PATIENCE_S
    if stranger and remaining > 0:
        hint = f"HARNESS_BLOCK={stranger} leaves it out"
        print(
            f"harness: the plugin {stranger} is still loading (at most {limit:g} s); {hint}",
            file=sys.stderr,
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(max(0.0, remaining))
    return None


def _refuse_output(offer: dict[str, Any], printed: str, plugin: str, distribution: str) -> dict[str, Any]:
    """Return a scan without components, since the plugin would print into the output of --json."""
    shown = printed if len(printed) <= 60 else f"{printed[:57]}..."
    message = f"it prints to standard output while it is loaded: {shown!r}"
    row = {"plugin": plugin, "distribution": distribution, "stage": "import", "message": message}
    return {"components": [], "config_dirs": {}, "problems": [*offer["problems"], row]}


def _timeout() -> float:
    text = os.environ.get("HARNESS_SCAN_TIMEOUT", "")
    try:
        limit = float(text) if text else TIMEOUT_S
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise HarnessError(f"HARNESS_SCAN_TIMEOUT must be seconds > 0, got {text!r}")
    return limit


def _installed() -> list[str]:
    """Return the folder name of every installed distribution; any install, upgrade or removal changes the list."""
    names = {sys.version, sys.prefix}
    for folder in sys.path:
        try:
            names.update(n for n in os.listdir(folder or ".") if n.endswith((".dist-info", ".egg-info", ".pth")))
        except OSError:
            continue
    return sorted(names)


def _normal(distribution: str) -> str:
    """Return the normalized name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _owner(name: str) -> str:
    """Return the distribution of NAME-VERSION.dist-info, or of the .pth file of an editable install."""
    if name.endswith(".pth"):
        name = name.removesuffix(".pth").removeprefix("__editable__.").lstrip("_")
    return _normal(name.partition("-")[0])


def _sources(value: str) -> Iterator[str]:
    """Yield path, size and time of every file of an entry point's top-level package, without importing it."""
    try:
        spec = importlib.util.find_spec(value.partition(":")[0].partition(".")[0].strip())
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for root in spec.submodule_search_locations or [spec.origin or ""]:
        yield from stamps(Path(root))


def stamps(root: Path) -> Iterator[str]:
    """Yield path, size and time of a file, or of every file below a folder; unreadable files are skipped."""
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
