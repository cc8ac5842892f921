"""Export a study as a table with a row for each run: Parquet and CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas

from harness.results.bundle import refuse_taken
from harness.results.frame import to_frame
from harness.results.record import Record
from harness.system import safe_files
from harness.system.errors import HarnessError


def table(records: Sequence[Record]) -> pandas.DataFrame:
    """Return the data frame of `Records.to_pandas` with types that every file format has.

    Columns of lists and of mixed types hold JSON. `folder` is the name of the run's folder.
    """
    frame = to_frame(records)
    frame["folder"] = [record.folder.name for record in records]
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = pandas.Series([_json(value) for value in frame[name]], dtype="string")
    return frame


def _json(value: Any) -> Any:
    return pandas.NA if value is pandas.NA else json.dumps(value, default=str)


def write_table(records: Sequence[Record], path: Path) -> None:
    """Write a table as `FILE.parquet` or `FILE.csv`.

    Raises:
        HarnessError: If the path exists or cannot be written.
    """
    refuse_taken(path)
    write(table(records), path)


def write(frame: pandas.DataFrame, path: Path) -> None:
    """Write a data frame in the format that the suffix of a path names: beside it, then renamed.

    Raises:
        HarnessError: If it cannot be written.
    """
    try:
        safe_files.write_file(path, _WRITERS[path.suffix.lower()](frame))
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror or error}") from error


def _csv(frame: pandas.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")


def _parquet(frame: pandas.DataFrame) -> Callable[[Any], None]:
    return lambda file: frame.to_parquet(file, engine="pyarrow", index=False)


_WRITERS: dict[str, Callable[[pandas.DataFrame], safe_files.Content]] = {".csv": _csv, ".parquet": _parquet}
