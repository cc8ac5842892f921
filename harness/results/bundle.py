"""Bundles: a study as one zip file, to send to others. A bundle is read as if it came from a stranger.

It holds `NAME/RUN/record.json` and what belongs to it, in the layout of a study, so that unpacking it below `outputs/`
gives a study. `NAME/bundle.json` names the commands and the environments. Weights, logs and events are left out.
"""

from __future__ import annotations

import atexit
import json
import lzma
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from harness.results import curves, record
from harness.results.tuning import FOLDER as TRIALS
from harness.system import safe_files
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import HarnessError
from harness.system.escape import printable
from harness.system.safe_files import GB, MB

SUFFIX = ".zip"
MANIFEST = "bundle.json"
FORMAT = 1
LOOKS = "looks.jsonl"
MAX_TOTAL = 16 * GB  # size of all files of a bundle
MAX_RATIO, ANY_RATIO = 200, 256 * MB  # a bundle may unpack to so many times its size, or to any size below the second
MAX_DIRECTORY = 128 * MB  # size of the zip file's list of files, which is read at once
_DATE = (1980, 1, 1, 0, 0, 0)  # of every file in a bundle: the same study gives the same bytes
_SYMBOLIC_LINK, _KIND = 0o120000, 0o170000  # of the mode of a file
_ENCRYPTED = 0x1
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, NotImplementedError,
            RuntimeError, OverflowError)  # fmt: skip


def write_bundle(study: Path, path: Path) -> tuple[int, int, list[str]]:
    """Write the records, curves and configs of a study, and those of its tuning, to one zip file.

    Links in the study are not followed.

    Args:
        study: Folder of the study.
        path: The file to write; its folder exists.

    Returns:
        The numbers of runs and of trials, and a line for each file that was left out since it cannot be read.

    Raises:
        HarnessError: If the path exists or cannot be written, or if there is no run.
    """
    refuse_taken(path)
    name = study.resolve().name or "study"
    left_out: list[str] = []
    counts = {"files": 0, "runs": 0, "trials": 0}

    def write(file: Any) -> None:
        commands: dict[str, None] = {}
        environments: dict[str, dict[str, Any]] = {}
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as bundle:
            for inner, source in _content(study, left_out):
                try:
                    content = safe_files.read(source, _limit(inner))
                    if source.name == record.FILE:
                        run = record.from_json(content, source.parent)
                        counts["trials" if TRIALS in inner.split("/")[:-2] else "runs"] += 1
                        commands[run.command] = None
                        environments[json.dumps(run.environment, sort_keys=True)] = run.environment
                except (OSError, ValueError, RecursionError) as error:
                    left_out.append(f"{source}: {_reason(error)}")
                    continue
                _add(bundle, f"{name}/{inner}", content)
                counts["files"] += 1
            if not counts["runs"] + counts["trials"]:
                raise HarnessError(f"no runs in {study}" + "".join(f"; left out: {line}" for line in left_out[:1]))
            about = {
                "format": FORMAT,
                "study": name,
                "harness": version(DISTRIBUTION),
                **counts,
                "commands": [command for command in commands if command],
                "environments": list(environments.values()),
            }
            _add(bundle, f"{name}/{MANIFEST}", f"{json.dumps(about, indent=1)}\n".encode())

    try:
        safe_files.write_file(path, write)
    except (OSError, UnicodeError) as error:
        raise HarnessError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
    return counts["runs"], counts["trials"], left_out


def _reason(error: Exception) -> str:
    """Return in one line why a file of a study cannot be read."""
    if isinstance(error, json.JSONDecodeError | RecursionError):
        return "it is torn or not JSON"
    return getattr(error, "strerror", None) or " ".join(str(error).split())


def refuse_taken(path: Path) -> None:
    """Refuse to write to a path that exists.

    Raises:
        HarnessError: If it exists, or is a link.
    """
    if path.exists() or path.is_symlink():
        raise HarnessError(f"{path} exists: remove it, or choose another name")


def _add(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    _refuse_name(name)
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o100644 << 16
    bundle.writestr(info, content, zipfile.ZIP_DEFLATED)


def _content(study: Path, left_out: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield (name relative to the study, path) of the files that belong to a bundle."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(study / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            left_out.append(f"{study / folder}: {error.strerror or error}")
            continue
        for entry in found:
            inner = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting += [inner] if entry.name[0] != "." or entry.name == ".hydra" else []
            elif _belongs(inner) and entry.name != MANIFEST:
                if entry.is_file(follow_symlinks=False):
                    yield inner, study / inner
                else:
                    left_out.append(f"{study / inner}: it is not a plain file")


def _belongs(name: str) -> bool:
    """Return True for the path of a file that is part of a bundle."""
    *folders, last = name.split("/")
    if folders[-1:] == [".hydra"]:
        return last in ("config.yaml", "overrides.yaml")
    if any(folder.startswith(".") for folder in folders):
        return False
    tuned = folders[-1:] == [TRIALS] and last.endswith(".json")
    return tuned or last in (record.FILE, curves.FILE, LOOKS, MANIFEST)


def _limit(name: str) -> int:
    """Return the largest size of a file in a bundle."""
    return curves.MAX_BYTES if name.endswith(".csv") else 16 * record.MAX_BYTES


def open_bundle(path: Path, configs: bool = False) -> Path:
    """Unpack a bundle, and return the folder of its study, which is removed when the process ends.

    Nothing is written outside of a new folder for temporary files. Only records, curves, looks and tuning are unpacked.

    Args:
        path: The zip file.
        configs: True to unpack also the runs' `.hydra` folders, which nothing in harness reads.

    Raises:
        HarnessError: If it cannot be read, is damaged, or is refused: for a path that leads out of it, a link, a file
            that stands there twice, a size that no study has.
    """
    with _told(path), open(path, "rb") as file, zipfile.ZipFile(_Bounded(file)) as bundle:
        files = _checked(path, bundle.infolist(), configs)
        root = _temporary_folder(path, sum(info.file_size for info in files))
        try:
            for info in files:
                target = root / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with bundle.open(info) as source, target.open("xb") as copy:
                    shutil.copyfileobj(source, copy, MB)
            top = {info.filename.partition("/")[0] for info in files}
            study = root / top.pop() if len(top) == 1 else root
            _check_manifest(path, study / MANIFEST, bundle.namelist())
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
    return study


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise every error of reading a bundle as one line."""
    try:
        yield
    except HarnessError:
        raise
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGED as error:
        reason = printable(" ".join(str(error).split()))
        raise HarnessError(f"{path} is truncated, damaged or no zip file ({reason}): get it again") from error


class _Bounded:
    """An open file that does not read more at once than a list of files may have."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise ValueError("its list of files is too long")
        return self._file.read(size)


def _checked(path: Path, infos: list[zipfile.ZipInfo], configs: bool) -> list[zipfile.ZipInfo]:
    """Return the files of a bundle, each of which is safe to unpack.

    Raises:
        HarnessError: If one is not.
    """
    names: set[str] = set()
    for info in infos:
        try:
            _refuse_name(info.filename)
            if (info.external_attr >> 16) & _KIND == _SYMBOLIC_LINK:
                raise ValueError("is a link")
            if info.filename in names:
                raise ValueError("stands there twice")
            if info.flag_bits & _ENCRYPTED:
                raise ValueError("is encrypted")
            if info.file_size > _limit(info.filename) and _belongs(_inside(info)):
                raise ValueError("is too large")
        except ValueError as error:
            raise HarnessError(f"{path} is refused: {info.filename[:200]!r} in it {error}") from error
        names.add(info.filename)
    files = [info for info in infos if not info.is_dir() and _belongs(_inside(info))]
    files = [info for info in files if configs or "/.hydra/" not in info.filename]
    if not any(info.filename.endswith(f"/{record.FILE}") for info in files):
        raise HarnessError(f"{path} is no bundle: there is no FOLDER/{record.FILE} in it")
    total = sum(info.file_size for info in files)
    if total > MAX_TOTAL or total > max(ANY_RATIO, MAX_RATIO * path.stat().st_size):
        raise HarnessError(f"{path} is refused: it unpacks to {total // MB:,} MB, which no study of its size does")
    return files


def _inside(info: zipfile.ZipInfo) -> str:
    """Return the path of a file below the first folder of its bundle."""
    return info.filename.partition("/")[2]


def _refuse_name(name: str) -> None:
    """Refuse the path of a file in a bundle if it could lead out of the folder that it is unpacked to.

    Raises:
        ValueError: If it could.
    """
    parts = re.split(r"[/\\]", name.removesuffix("/"))
    if any(part in ("", ".", "..") for part in parts) or re.match(r"[A-Za-z]:", name):
        raise ValueError("leads out of the bundle")
    if not all(part.isprintable() and len(part.encode()) <= 255 for part in parts):
        raise ValueError("is no name of a file")


def _temporary_folder(path: Path, total: int) -> Path:
    """Create a folder for temporary files, which is removed when this process ends."""
    root = Path(tempfile.mkdtemp(prefix="harness-bundle-"))
    atexit.register(_remove, root, os.getpid())
    if (free := shutil.disk_usage(root).free) < total:
        root.rmdir()
        raise HarnessError(
            f"{path} unpacks to {total // MB:,} MB, and {root.parent} has {free // MB:,} MB: set TMPDIR to another disk"
        )
    return root


def _remove(root: Path, process: int) -> None:
    if os.getpid() == process:  # not in a forked child
        shutil.rmtree(root, ignore_errors=True)


def _check_manifest(path: Path, manifest: Path, names: list[str]) -> None:
    """Refuse a bundle of a later format, or without some of its files. One that was zipped by hand has no manifest."""
    if not manifest.exists():
        return
    about = json.loads(safe_files.read(manifest, 16 * MB))
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise HarnessError(f"{path} has format {found!s:.20}, and this version of harness reads {FORMAT}")
    files = sum(_belongs(name.partition("/")[2]) for name in names) - 1
    if files != about.get("files"):
        raise HarnessError(f"{path} is incomplete: it has {files} of {about.get('files')!s:.20} files: get it again")
