"""One scan a plugin, in a child process of its own, which may import torch, print, exit or hang; what it told is kept
as JSON under a key of everything that could change it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import signal
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
from harness.system.errors import HarnessError
from harness.system.typed_json import Keys, OneOf, checker, refuse_depth

TIMEOUT_S = 120.0  # a first import of torch from a slow disk takes a while; HARNESS_SCAN_TIMEOUT sets another
OURS = ("", "harness")  # the distributions without which nothing works, Lightning by no name
PATIENCE_S = 15.0  # after which a person is told what they wait for
RETRY_S = 600.0  # how long a time-out or a crash is believed: it may have been the machine's fault
KEPT = 8  # scans of one plugin: environments share the folder, and switching between them scans nothing again
LARGEST = 64 * safe_files.MB  # of a kept scan

_Parameter = Annotated[
    dict[str, Any],
    Keys({"name": str, "type": Any, "default": Any, "required": bool}, True),
]
_Component = Annotated[
    dict[str, Any],
    Keys(
        {"kind": Annotated[str, OneOf(tuple(KINDS))], "asks": list[str], "parameters": list[_Parameter]}
        | {"name": str, "reference": str | None, "doc": str, "traits": dict[str, Any]},
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
    """What every plugin's scan depends on: Python, the installed distributions, harness's own files."""

    installed: tuple[str, ...]
    strangers: frozenset[str]  # of them, those of strangers' plugins
    files: tuple[str, ...]

    def key(self, plugin: str, distribution: str, value: str = "", version: str = "") -> str:
        """The key of one plugin, from its entry point and the files of its top-level package.

        Harness's own ask for no stranger's: to scan them again would only make whoever installs a plugin wait.
        """
        seen = [name for name in self.installed if distribution not in OURS or name not in self.strangers]
        text = "\n".join([*seen, *self.files, value, plugin, distribution, version, *_sources(value)])
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def fingerprint(distributions: Iterable[str]) -> Fingerprint:
    """Of this environment, now, in which these distributions bring plugins."""
    installed = _installed()
    theirs = {_normal(name) for name in distributions} - set(OURS)
    strangers = frozenset(name for name in installed if _owner(name) in theirs)
    return Fingerprint(tuple(installed), strangers, tuple(stamps(Path(__file__).parents[2])))


def cache_folder() -> Path:
    """Where scans are kept: HARNESS_CACHE, else the user's cache folder."""
    base = os.environ.get("HARNESS_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "harness"


def cached(plugin: str, distribution: str, key: str, again: bool = False) -> dict[str, Any]:
    """What a plugin offers (or, without a name, Lightning's Trainer), from the cache or from a scan.

    A plugin that hung or crashed costs its time once, and is asked again after ten minutes, at another time limit,
    when it has changed, or with `again`. Without harness's own nothing works: that is always asked again.
    """
    path = _path(plugin, distribution, key)
    found = _read(path)
    if found is not None and (not _failed(found) or (not again and _lasts(path, found))):
        return found
    found = _scan(plugin, distribution)
    if not _failed(found) or distribution not in OURS:
        _keep(path, found)
    return found


def cached_together(jobs: Sequence[Job], again: bool = False) -> list[dict[str, Any]]:
    """What harness's own plugins and Lightning's Trainer offer: where several are to be scanned, one child process does
    it, which imports torch once. Where it does not come back well, each is asked by itself.
    """
    new = [job for job in jobs if _read(_path(*job)) is None]
    if len(new) > 1:
        for job, found in zip(new, _scan_together([job[:2] for job in new]), strict=False):
            _keep(_path(*job), found)
    return [cached(*job, again) for job in jobs]


def _path(plugin: str, distribution: str, key: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{distribution or 'lightning'}-{plugin or 'trainer'}")
    return cache_folder() / "catalogue" / f"{name}-{key}.json"


def _keep(path: Path, found: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, never the answer
        _write(path, found)


def _failed(found: dict[str, Any]) -> bool:
    return any(problem["stage"] == "scan" for problem in found["problems"])


def _lasts(path: Path, found: dict[str, Any]) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return 0 <= age < RETRY_S and found.get("limit") == _timeout()


def _read(path: Path) -> dict[str, Any] | None:
    """A kept scan; None for one that is no scan, which is then made anew."""
    try:
        text = safe_files.read(path, LARGEST)
        refuse_depth(text)
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    whole = _check(found) is None
    return found if whole and unchanged(found.get("files", {}), found.get("environment", {})) else None


def _write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    safe_files.write_file(path, json.dumps(found).encode(), durable=False)
    ours = re.compile(re.escape(path.name[: -len("0123456789abcdef.json")]) + r"[0-9a-f]{16}\.json")
    scans = [other for other in path.parent.iterdir() if ours.fullmatch(other.name)]
    for stale in sorted(scans, key=lambda p: p.stat().st_mtime_ns)[:-KEPT]:
        stale.unlink(missing_ok=True)


def _scan(plugin: str, distribution: str) -> dict[str, Any]:
    """Asks a child process. It stands in a session of its own, so that what it starts ends with it."""
    limit = _timeout()

    def failed(message: str) -> dict[str, Any]:
        row = {"plugin": plugin, "distribution": distribution, "stage": "scan", "message": message}
        return {"components": [], "config_dirs": {}, "problems": [row], "limit": limit}

    status, answer, text, said = _ask([(plugin, distribution)], limit, "" if distribution in OURS else plugin)
    if status is None:
        return failed(f"it did not finish loading within {limit:g} s")
    if answer is None:
        lines = said.strip().splitlines()
        more = f": {lines[-1]}" if lines else ""
        return failed(f"the process that loaded it died with status {status}{more}")
    (found,) = answer
    return _silenced(found, text, plugin, distribution) if text and distribution else found


def _scan_together(plugins: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The answers for several (plugin, distribution) of ours; none where anything is odd about them."""
    _, answer, text, _ = _ask(plugins, _timeout(), "")
    return answer if answer is not None and not text else []


def _ask(
    plugins: Sequence[tuple[str, str]], limit: float, stranger: str
) -> tuple[int | None, list[dict[str, Any]] | None, str, str]:
    """Of a child: its status (None: it took too long), its answers (None: it has none), what it printed and said."""
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
                _end(child)
                _children.discard(child)
        try:
            found: list[dict[str, Any]] | None = json.loads(answer.read_text())
        except (OSError, ValueError):
            found = None
        text = " ".join(printed.read_text(errors="replace").split())
        return status, None if status is None else found, text, said.read_text(errors="replace")


_children: set[subprocess.Popen[bytes]] = set()  # scans under way


def end_all() -> None:
    """Ends the scans under way: whoever asked for them was interrupted."""
    for child in list(_children):
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _wait(child: subprocess.Popen[bytes], limit: float, stranger: str) -> int | None:
    """A child's exit status; None where it does not end in time. Tells of a stranger's that takes long."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(min(limit, PATIENCE_S))
    left = limit - PATIENCE_S
    if stranger and left > 0:
        hint = f"HARNESS_BLOCK={stranger} leaves it out"
        print(
            f"harness: the plugin {stranger} is still loading; it is given up after {limit:g} s; {hint}",
            file=sys.stderr,
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(max(0.0, left))
    return None


def _silenced(found: dict[str, Any], text: str, plugin: str, distribution: str) -> dict[str, Any]:
    """What is left of a plugin that writes to standard output, where the answers for programs (--json) go."""
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    message = f"it prints while it is loaded: {shown!r}; standard output is the user's"
    row = {"plugin": plugin, "distribution": distribution, "stage": "import", "message": message}
    return {"components": [], "config_dirs": {}, "problems": [*found["problems"], row]}


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
    """Every installed distribution's folder name: any install, upgrade or removal changes it."""
    names = {sys.version, sys.prefix}
    for folder in sys.path:
        try:
            names.update(n for n in os.listdir(folder or ".") if n.endswith((".dist-info", ".egg-info", ".pth")))
        except OSError:
            continue
    return sorted(names)


def _normal(distribution: str) -> str:
    """A distribution's name as packaging compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _owner(name: str) -> str:
    """The distribution of NAME-VERSION.dist-info, or of a file of paths that an editable install has left."""
    if name.endswith(".pth"):
        name = name.removesuffix(".pth").removeprefix("__editable__.").lstrip("_")
    return _normal(name.partition("-")[0])


def _sources(value: str) -> Iterator[str]:
    """Path, size and time of every file under the top-level package of an entry point, without executing it."""
    try:
        spec = importlib.util.find_spec(value.partition(":")[0].partition(".")[0].strip())
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for root in spec.submodule_search_locations or [spec.origin or ""]:
        yield from stamps(Path(root))


def stamps(root: Path) -> Iterator[str]:
    """Path, size and time of a file, or of every file below a folder; what cannot be read is left out."""
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
