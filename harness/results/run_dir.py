"""Create the folder of a run, with its config, a first record and its log."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from harness.config.composition_cache import CWD, NAME, TASK
from harness.results.record import FILE, Record, write
from harness.system import safe_files
from harness.system.errors import CannotWrite

_PLAIN = re.compile(r"[a-z_][\w.]*=[\w.]+", re.ASCII)  # an override that YAML writes without quotes
log = logging.getLogger("harness")
WEIGHTS = "weights.pt"  # file of the weights


def make_study(folder: Path) -> None:
    """Create the folder of a study.

    Raises:
        CannotWrite: If it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite.from_os_error(folder, error) from error


def open_folder(record: Record, overrides: Sequence[str], hydra: str, keep: Sequence[str] = ()) -> None:
    """Create the folder of a run, and remove the files of an earlier attempt.

    Args:
        record: The first record of the run, with its folder.
        overrides: Overrides of the run, for `.hydra/`.
        hydra: Text of `.hydra/hydra.yaml`, in which TASK, NAME and CWD stand for overrides and working folder.
        keep: Names of files of an earlier attempt to keep.

    Raises:
        CannotWrite: If the folder cannot be written.
    """
    try:
        new = safe_files.make_folder(record.folder)
        write(record, durable=False)  # after a crash, no record is as good as one that says `running`
        for path in () if new else record.folder.iterdir():
            if path.name not in (FILE, *keep):
                safe_files.remove(path)
        os.mkdir(record.folder / ".hydra")
        texts = {
            "config": "".join(_entry(key, value) for key, value in record.config.items()),
            "overrides": "".join(map(_item, overrides)) or _yaml([]),
            "hydra": _fill_placeholders(hydra, overrides),
        }
        for name, text in texts.items():
            safe_files.create(f"{record.folder}/.hydra/{name}.yaml", text.encode())
    except OSError as error:
        raise CannotWrite.from_os_error(record.folder, error) from error


def _fill_placeholders(text: str, overrides: Sequence[str]) -> str:
    """Replace the placeholders in a YAML text by JSON, which is YAML too."""
    values = {TASK: list(overrides), NAME: ",".join(overrides), CWD: os.getcwd()}
    # split once, since an override may hold the text of a placeholder
    return "".join(json.dumps(values[part]) if place % 2 else part for place, part in enumerate(_split(text)))


@functools.lru_cache(64)
def _split(text: str) -> list[str]:
    """Split a text at its placeholders, which have the odd places."""
    return re.split(f"'({TASK}|{NAME}|{CWD})'", text)


def _entry(key: str, value: Any) -> str:
    """Return a key of a config as YAML. Jobs of a sweep share most keys, and differ in whole numbers most often."""
    return f"{_key(key)}{value}\n" if type(value) is int else _parsed_entry(key, json.dumps(value))


@functools.lru_cache(1024)
def _key(key: str) -> str:
    return _yaml({key: 0}).removesuffix("0\n")


@functools.lru_cache(1024)
def _parsed_entry(key: str, value: str) -> str:
    return _yaml({key: json.loads(value)})


@functools.lru_cache(1024)
def _item(override: str) -> str:
    """Return an override as an item of a YAML list."""
    return f"- {override}\n" if _PLAIN.fullmatch(override) else _yaml([override])


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True)


class _LogFiles(logging.Handler):
    """Append log lines to the log.txt of every run in training. No file is kept open, since there are many."""

    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__()
        self.folders = folders
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        only = getattr(record, "run_folder", None)
        for folder in self.folders if only is None else [only]:
            safe_files.append(folder / "log.txt", line.encode(errors="backslashreplace"))


@contextmanager
def log_files(folders: Sequence[Path]) -> Iterator[None]:
    """Write the log lines of harness and Lightning to the log.txt of runs."""
    handler = _LogFiles(folders)
    loggers = [logging.getLogger(name) for name in ("harness", "pytorch_lightning")]
    if not log.isEnabledFor(logging.INFO):  # a user may want DEBUG, which tells of exceptions that are caught too
        log.setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
