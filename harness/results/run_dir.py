"""A run's folder: opened empty, with the run's config and a record that says `running`."""

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

log = logging.getLogger("harness")


def make_study(folder: Path) -> None:
    """Makes a study's folder. Raises CannotWrite where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite.told(folder, error) from error


def open_folder(record: Record, overrides: Sequence[str], hydra: str, keep: Sequence[str] = ()) -> None:
    """Makes the run's folder; what an older attempt left is removed, but for the names in `keep`.

    `hydra` is the text of `.hydra/hydra.yaml`, where TASK and NAME may stand for the overrides, CWD for the working
    folder. Raises CannotWrite where nothing can be written.
    """
    try:
        safe_files.make_folder(record.folder)
        write(record, durable=False)  # after a crash, a run without a record is as good as one that says `running`
        for path in record.folder.iterdir():
            if path.name not in (FILE, *keep):
                safe_files.remove(path)
        (record.folder / ".hydra").mkdir()
        texts = {
            "config": _config(record.config),
            "overrides": _yaml(list(overrides)),
            "hydra": _filled(hydra, overrides),
        }
        for name, text in texts.items():
            safe_files.create(record.folder / ".hydra" / f"{name}.yaml", text.encode())
    except OSError as error:
        raise CannotWrite.told(record.folder, error) from error


def _filled(text: str, overrides: Sequence[str]) -> str:
    """JSON is YAML too."""
    values = {TASK: list(overrides), NAME: ",".join(overrides), CWD: os.getcwd()}
    # in one pass: an override may hold what looks like a place
    return re.sub(f"'({'|'.join(values)})'", lambda place: json.dumps(values[place[1]]), text)


def _config(values: dict[str, Any]) -> str:
    """A config's text, key by key: of a sweep's jobs, most keys are alike."""
    return "".join(_entry(key, json.dumps(value)) for key, value in values.items())


@functools.lru_cache(1024)
def _entry(key: str, value: str) -> str:
    return _yaml({key: json.loads(value)})


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True)


class _LogFiles(logging.Handler):
    """Appends what is said to the log.txt of every run that is being trained. No file is kept open: they are many."""

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
    """Inside, what the harness and Lightning say goes to the runs' log.txt."""
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
