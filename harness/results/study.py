"""Find a study and load its records."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.results.levels import in_natural_order
from harness.results.record import Record, Records, read
from harness.results.run_dir import WEIGHTS
from harness.system.errors import HarnessError

OUTPUTS = "outputs"


def output_root(values: Mapping[str, Any]) -> Path:
    """Return the folder of the studies of a config, absolute."""
    return Path(values["output_root"]).expanduser().absolute()


def study_folder(study: str | Path) -> Path:
    """Return the folder of a study or a run.

    Args:
        study: A name under outputs/, or a path; ./NAME and a Path object are always paths.

    Raises:
        HarnessError: If there is no such folder.
    """
    if not isinstance(study, str | os.PathLike):
        raise HarnessError(f"expected a folder, or the name of a study, got {type(study).__name__}")
    name_first = isinstance(study, str) and not study.startswith(".")
    candidates = (Path(OUTPUTS) / study, Path(study))  # a plugin's folder may have the name of its study
    for folder in candidates if name_first else reversed(candidates):
        if folder.is_dir():
            return folder
    if str(study).endswith(".zip") and Path(study).is_file():
        raise HarnessError(f"{study} is a bundle, which is only read: unpack it below {OUTPUTS}/ to change it")
    from harness.system.errors import suggest

    known = [p.name for p in Path(OUTPUTS).iterdir() if p.is_dir()] if Path(OUTPUTS).is_dir() else []
    raise HarnessError(f"no study {str(study)!r}, neither as a folder nor under {OUTPUTS}/.{suggest(study, known)}")


def open_study(study: str | Path, configs: bool = False) -> Path:
    """Return the folder of a study, a run or a bundle, to read it.

    Args:
        study: As for `study_folder`, or a bundle, which is unpacked for as long as the process lives.
        configs: True to unpack also the `.hydra` folders of a bundle.

    Raises:
        HarnessError: If there is no such folder, or if the bundle cannot be read.
    """
    if isinstance(study, str | os.PathLike) and str(study).endswith(".zip") and Path(study).is_file():
        from harness.results.bundle import open_bundle

        return open_bundle(Path(study), configs)
    return study_folder(study)


def load(folder: str | Path) -> Records:
    """Load every record of a study or a bundle, or the record of a run.

    They are sorted by their values of the swept keys, and then by name. Records that cannot be read are left out, and
    named in one warning.

    Args:
        folder: A folder, a name under outputs/, or the zip file of a bundle.

    Raises:
        HarnessError: If there is no such folder, or if a bundle is damaged or refused.
    """
    from harness.results.index import read_all  # which imports this module

    unreadable: list[str] = []
    records = read_all(open_study(folder), unreadable)
    if unreadable:
        more = f"; and {len(unreadable) - 3} more records" if len(unreadable) > 3 else ""
        warnings.warn(f"left out: {'; '.join(unreadable[:3])}{more}", stacklevel=2)
    return Records(in_natural_order(records))


def find_weights(source: str) -> Path:
    """Return the file of the weights that `init_from` names.

    Args:
        source: A file, or a run as for `find_run`.

    Raises:
        HarnessError: If there is no such file or run, or if the run has kept no weights.
    """
    path = Path(source).expanduser()
    if path.is_file() and not source.endswith(".zip"):
        return path
    try:
        record = find_run(source)
    except HarnessError as error:
        raise HarnessError(f"init_from={source}: no such file, and {error}") from error
    file = record.folder / WEIGHTS
    if not file.exists():
        raise HarnessError(f"init_from={source}: the run has no weights (save=none, not completed, or an estimator)")
    return file


def run_of(weights: Path) -> Record | None:
    """Return the record of the run that a file of weights belongs to; None for a file of its own."""
    return read(weights.parent) if weights.name == WEIGHTS else None


def find_run(run: str) -> Record:
    """Return the record of one run.

    Args:
        run: Its folder, or STUDY/ID with the first digits of its ID.

    Raises:
        HarnessError: If there is no such run, or more than one.
    """
    study, _, id = run.rstrip("/").rpartition("/")
    try:
        records = load(run)
    except HarnessError:
        if not study or not re.fullmatch("[0-9a-f]{2,12}", id):
            raise
        records = Records([record for record in load(study) if record.id.startswith(id)])
        if len(records) != 1:
            raise HarnessError(f"{len(records) or 'no'} runs in {study} have an ID that begins with {id}") from None
    if len(records) > 1:
        raise HarnessError(f"{run} has {len(records)} runs: name one by its ID, such as {run}/{records[0].id[:6]}")
    if not len(records):
        raise HarnessError(f"no runs in {run}")
    return records[0]


def record_of(run: str | Path | Record) -> Record:
    """Return the record of a run.

    Args:
        run: The record itself, or the run's folder.

    Raises:
        HarnessError: If there is no record, or if there are several.
    """
    if isinstance(run, Record):
        return run
    if isinstance(run, Records):
        raise HarnessError(f"expected one run, got {run!r}: take one of them, records[0] for example")
    if not isinstance(run, str | os.PathLike):
        raise HarnessError(f"expected a run (its record or its folder), got {type(run).__name__}")
    records = load(run)
    if len(records) != 1:
        content = f"the records of {len(records)} runs: name the folder of one" if records else "no record of a run"
        raise HarnessError(f"{run} has {content}")
    return records[0]
