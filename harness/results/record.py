"""Read and write the record of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints, overload

from harness.system import safe_files
from harness.system.safe_files import write_file
from harness.system.typed_json import Keys, Longest, OneOf, Pattern, checker, refuse_depth

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
FILE = "record.json"
STATUSES = ("completed", "diverged", "failed", "interrupted", "running")
_NUMBERS = ("metrics", "best", "error", "time", "diagnostics")  # where "nan" stands for a number
_BESIDE = ("folder", "cached")  # fields that are not written
LARGEST = 16 * safe_files.MB  # of a record.json

_Number = float | None
_ERROR = Keys({"type": str, "message": str, "traceback": str | None, "step": int | None, "last_finite_loss": _Number})
_BEST = Keys({"value": float, "epoch": int, "higher_is_better": bool})
_DATA = Keys({"name": str, "digest": str} | dict.fromkeys(("train", "val", "test", "overlap"), int | None))
_SECONDS = ("fit_s", "share_s", "total_s", "samples_per_s")
_TIME = Keys({"started": str, "epochs": int, "steps": int} | dict.fromkeys(_SECONDS, _Number))
_COHORT = Keys({"size": int} | dict.fromkeys(("path", "executor", "why", "sweep"), str))
_ENVIRONMENT = Keys({"plugins": dict[str, str]})


@dataclass(repr=False)
class Record:
    """The record of a run.

    Records of one sweep share equal parts of their `config`: copy it before you change it.

    Attributes:
        id: The run ID, 12 hexadecimal digits.
        name: The overrides that change the result.
        study: The name of the study.
        status: "completed", "diverged", "failed", "interrupted" or "running".
        error: Why the run did not complete, or None.
        config: The config, with every `auto` resolved.
        choices: The chosen components, `{kind: name or names}`.
        metrics: The metrics at the end of the run.
        best: The best validation value of each metric, with its epoch.
        model: The numbers of parameters.
        data: Name, digest and sizes of the data.
        time: Start, durations in seconds, throughput, epochs and steps.
        cohort: How the run was trained, and why.
        memory: The estimated and the measured memory in bytes.
        diagnostics: The diagnostics and their cost.
        environment: Versions, device and processor.
        steps: Optimizer steps planned and made.
        ended: Why training ended.
        warnings: Lines that a reader should know.
        schema: The version of the keys.
        folder: The folder of the run.
        cached: True if this call found the run complete and did not train it.
    """

    id: Annotated[str, Pattern("[0-9a-f]{12}")]
    name: Annotated[str, Longest(100_000)]
    study: Annotated[str, Longest(1_000)]
    status: Annotated[str, OneOf(STATUSES)] = "running"
    error: Annotated[dict[str, Any], _ERROR] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str | list[str]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, Annotated[dict[str, Any], _BEST]] = field(default_factory=dict)
    model: dict[str, int] = field(default_factory=dict)
    data: Annotated[dict[str, Any], _DATA] = field(default_factory=dict)
    time: Annotated[dict[str, Any], _TIME] = field(default_factory=dict)
    cohort: Annotated[dict[str, Any], _COHORT] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    environment: Annotated[dict[str, Any], _ENVIRONMENT] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    ended: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    schema: int = SCHEMA
    folder: Path = field(default=Path(), compare=False)
    cached: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        status = f"{self.status}, cached" if self.cached else self.status
        return f"Record({self.name!r}, {status}, {metrics}, folder={str(self.folder)!r})"

    @property
    def objective(self) -> float:
        """The value of the objective, or nan."""
        return float(self.metrics.get(str(self.config.get("objective")), math.nan))

    def to_json(self, indent: int | None = 1) -> str:
        """Return the record as JSON text.

        Args:
            indent: The indentation of lines; None for one line, which is faster.
        """
        row = {name: _written(getattr(self, name)) for name in _WRITTEN}
        return json.dumps(row, indent=indent, allow_nan=False, default=str) + "\n"


_WRITTEN = ("schema", *(f.name for f in fields(Record) if f.name not in (*_BESIDE, "schema")))
_KEYS = frozenset(_WRITTEN)


def from_json(text: str | bytes, folder: Path) -> Record:
    """A record from its text. Raises ValueError for one that is torn, nested too deep, or of wrong types."""
    refuse_depth(text)
    return from_row(json.loads(text), folder)


def from_row(row: Any, folder: Path, unchecked: Container[str] = _KEYS, words: bool = True) -> Record:
    """A record from what its text holds. Raises ValueError for an unknown schema, a missing key or a wrong type.

    The types of keys that are not in `unchecked` are known to be right; without `words` no number is written as one.
    """
    if type(row) is not dict or row.get("schema") != SCHEMA:
        raise ValueError(f"unknown schema {row.get('schema')!r:.60}" if type(row) is dict else "it is no mapping")
    kept = {k: v for k, v in row.items() if k in _KEYS}
    if words:
        kept |= {key: _numbers(kept[key]) for key in _NUMBERS if key in kept}
    for key, value in kept.items():
        if key in unchecked and (wrong := _CHECKS[key](value)) is not None:
            raise ValueError(f"{key}: {wrong}" if wrong.startswith("'") else f"{key} {wrong}")
    for key in _NEEDED:
        if key not in kept:
            raise ValueError(f"it has no {key!r}")
    return Record(**kept, folder=folder)


_CHECKS = {key: checker(hint) for key, hint in get_type_hints(Record, include_extras=True).items() if key in _KEYS}
_NEEDED = ("id", "name", "study")


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): v if type(v) in (str, int) else _written(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _numbers(v) if isinstance(v, (dict, str)) else v for k, v in value.items()}
    return float(value) if value in ("nan", "inf", "-inf") else value


def write(record: Record, durable: bool = True) -> None:
    """Write the record atomically: a reader sees the old one or the new one.

    Args:
        record: The record; it is written to its folder.
        durable: True to survive a crash of the machine. Otherwise the text is one line.
    """
    write_file(record.folder / FILE, record.to_json(1 if durable else None).encode(), durable)


def read(folder: Path) -> Record | None:
    """The record in a run's folder; None where there is none that can be read."""
    try:
        return read_record(folder)
    except (OSError, ValueError):
        return None


def read_record(folder: Path) -> Record:
    """The record in a run's folder. Raises OSError or ValueError, which say why it cannot be read."""
    row, words = read_row(folder)
    return from_row(row, folder, words=words)


def has_words(text: bytes) -> bool:
    """Tell whether numbers may be written as words ("nan", "inf", "-inf") in a text."""
    return b'nan"' in text or b'inf"' in text


def read_row(folder: Path) -> tuple[Any, bool]:
    """What the text of a record holds, yet unchecked, and whether numbers in it may be words.

    Raises OSError, or ValueError for what is no JSON.
    """
    text = safe_files.read(folder / FILE, LARGEST)
    refuse_depth(text)
    try:
        return json.loads(text.decode(errors="surrogatepass")), has_words(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is torn, or no JSON") from error


class Records(Sequence[Record]):
    """The runs of a study, sorted by name: a sequence of `Record`.

    Args:
        records: The records.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = list(records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        return Records(self._records[index]) if isinstance(index, slice) else self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __repr__(self) -> str:
        done = sum(r.status == "completed" for r in self)
        return f"Records({len(self)} runs, {done} completed)"

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with one row for each run.

        Returns:
            The columns id, name, study, status, the choices and settings that differ, all metrics, fit_s and share_s
            (seconds), and folder.
        """
        import pandas

        configs = [flat(r.config) for r in self]
        varied = _varying(configs)
        return pandas.DataFrame(
            [
                {"id": r.id, "name": r.name, "study": r.study, "status": r.status}
                | {key: config.get(key) for key in varied}
                | r.metrics
                | {"fit_s": r.time.get("fit_s"), "share_s": r.time.get("share_s"), "folder": str(r.folder)}
                for r, config in zip(self, configs, strict=True)
            ]
        )


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as {"optimizer.lr": 0.1, "optimizer": "sgd", ...}.

    >>> flat({"seed": 0, "optimizer": {"_component_": "sgd", "lr": 0.1}})
    {'seed': 0, 'optimizer': 'sgd', 'optimizer.lr': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            if "_component_" in value:
                found[prefix + key] = value["_component_"]
            found |= flat(value, f"{prefix}{key}.")
        elif key != "_component_":
            found[prefix + key] = tuple(value) if isinstance(value, list) else value
    return found


def varying(records: Sequence[Record]) -> list[str]:
    """The config's keys that are not the same in all records."""
    return _varying([flat(r.config) for r in records])


def _varying(configs: Sequence[dict[str, Any]]) -> list[str]:
    keys: dict[str, None] = {}
    for config in configs:
        keys |= dict.fromkeys(config)
    return [k for k in keys if len({repr(config.get(k)) for config in configs}) > 1]
