"""Find a study and load its records."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from harness.results.record import Records
from harness.system.errors import HarnessError

OUTPUTS = "outputs"


def study_folder(study: str | Path) -> Path:
    """A study or a run by its name under outputs/, or by its path; ./NAME is always a path, and so is a Path.

    Raises HarnessError if there is none.
    """
    if not isinstance(study, str | os.PathLike):
        raise HarnessError(f"expected a folder, or the name of a study, got {type(study).__name__}")
    name_first = isinstance(study, str) and not study.startswith(".")
    places = (Path(OUTPUTS) / study, Path(study))  # a plugin's folder may be called as the study that compares it
    for folder in places if name_first else reversed(places):
        if folder.is_dir():
            return folder
    from harness.system.errors import suggest

    known = [p.name for p in Path(OUTPUTS).iterdir() if p.is_dir()] if Path(OUTPUTS).is_dir() else []
    raise HarnessError(f"no study {str(study)!r}, neither as a folder nor under {OUTPUTS}/.{suggest(study, known)}")


def load(folder: str | Path) -> Records:
    """Every record of a study (or the one of a run), below a folder or a name under outputs/.

    Records that cannot be read are left out, and named in one warning.
    """
    from harness.results.index import read_all  # it reads records by what stands above

    unreadable: list[str] = []
    records = read_all(study_folder(folder), unreadable)
    if unreadable:
        more = f"; and {len(unreadable) - 3} more records" if len(unreadable) > 3 else ""
        warnings.warn(f"left out: {'; '.join(unreadable[:3])}{more}", stacklevel=2)
    return Records(records)
