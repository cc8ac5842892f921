"""The record of a run, record.json: its type, and the only functions that read and write it."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints, overload

from harness.system import safe_files
from harness.system.safe_files import write_file, write_files
from harness.system.typed_json import Keys, Longest, OneOf, Pattern, checker, refuse_depth

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
FILE = "record.json"
STATUSES = ("completed", "diverged", "failed", "interrupted", "running")
_NUMBERS = ("metrics", "best", "error", "time", "diagnostics", "tuning")  # keys in which "nan" is a number
_UNWRITTEN = ("folder", "cached")  # fields that are not written
ROWS = 20  # runs in the table of a notebook
MAX_BYTES = 16 * safe_files.MB  # size of a record.json

_Number = float | None
_ERROR = Keys({"type": str, "message": str, "traceback": str | None, "step": int | None, "last_finite_loss": _Number})
_BEST = Keys({"value": float, "epoch": int, "higher_is_better": bool})
_DATA = Keys({"name": str, "digest": str} | dict.fromkeys(("train", "val", "test", "overlap"), int | None))
_SECONDS = ("fit_s", "share_s", "total_s", "samples_per_s")
_TIME = Keys({"started": str, "epochs": int, "steps": int} | dict.fromkeys(_SECONDS, _Number))
_COHORT = Keys({"size": int} | dict.fromkeys(("path", "executor", "why", "sweep"), str))
_TUNING = Keys(
    {"id": str, "method": str, "objective": str, "settings": dict[str, Any], "seeds": list[int], "border": list[str]}
    | dict.fromkeys(("budget", "trials", "failed", "steps", "trial"), int)
    | {"score": _Number, "neighbours": list[dict[str, Any]]}
)
_ENVIRONMENT = Keys({"plugins": dict[str, str], "sources": dict[str, str]})


@dataclass(repr=False)
class Record:
    """The record of a run.

    Records of one sweep share equal parts, such as of their `config`: copy a part before you change it.

    Attributes:
        id: The run ID, 12 hexadecimal digits.
        name: The overrides that change the result.
        study: The name of the study.
        status: "completed", "diverged", "failed", "interrupted" or "running".
        error: Why the run did not complete, or None.
        config: The config, with every `auto` resolved.
        choices: The chosen components, `{kind: name or names}`.
        command: The command that launched the run, quoted for a shell.
        swept: The keys that the sweep varied; empty for a single run.
        swept_values: The run's values of these keys.
        tuning: The search that chose some of its settings (`tune.budget`); empty for a run that was not tuned.
        metrics: The metrics at the end of the run.
        directions: Whether higher is better, for each metric that declares its direction.
        best: The best validation value of each metric, with its epoch.
        model: The numbers of parameters.
        data: Name, digest and sizes of the data.
        time: Start, durations in seconds, throughput, epochs and steps.
        cohort: How the run was trained, and why.
        memory: The estimated and the measured memory in bytes.
        diagnostics: The diagnostics and their cost.
        environment: Versions, digests of the components' code, device and processor.
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
    command: Annotated[str, Longest(100_000)] = ""
    swept: list[str] = field(default_factory=list)
    swept_values: dict[str, Any] = field(default_factory=dict)
    tuning: Annotated[dict[str, Any], _TUNING] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    directions: dict[str, bool] = field(default_factory=dict)
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
        status = f"{self.status}, cached" if self.cached else self.status
        metrics = [f"{name}={value:.4g}" for name, value in self.metrics.items()]
        return f"Record({', '.join([repr(self.name), status, *metrics, f'folder={str(self.folder)!r}'])})"

    def _repr_html_(self) -> str:
        """Return a table of the metrics, for notebooks."""
        facts = [["status", f"{self.status}, cached" if self.cached else self.status]]
        facts += [[name, _cell(value)] for name, value in self.metrics.items()]
        return _table(["run", self.name], [*facts, ["folder", str(self.folder)]])

    @property
    def objective(self) -> float:
        """The value of the objective, or nan."""
        return float(self.metrics.get(str(self.config.get("objective")), math.nan))

    def to_json(self, indent: int | None = 1) -> str:
        """Return the record as JSON text.

        Args:
            indent: The indentation of the keys, each on a line; None for one line.
        """
        entries = [f'"{name}": {_encoded(getattr(self, name))}' for name in _WRITTEN]
        if indent is None:
            return f"{{{', '.join(entries)}}}\n"
        space = " " * indent
        return "{\n" + ",\n".join(f"{space}{entry}" for entry in entries) + "\n}\n"


_WRITTEN = ("schema", *(f.name for f in fields(Record) if f.name not in (*_UNWRITTEN, "schema")))
_KEYS = frozenset(_WRITTEN)


def from_json(text: str | bytes, folder: Path) -> Record:
    """Parse the text of a record.

    Raises:
        ValueError: If the text is torn, nested too deep, or holds a wrong type.
    """
    refuse_depth(text)
    return from_row(json.loads(text), folder)


def from_row(row: Any, folder: Path, unchecked: Container[str] = _KEYS, words: bool = True) -> Record:
    """Return a record from its parsed text.

    Args:
        row: The parsed JSON.
        folder: Folder of the run.
        unchecked: Keys whose types have to be checked.
        words: False if no number in the row is written as a word ("nan", "inf", "-inf").

    Raises:
        ValueError: If the schema is unknown, a key is missing or a type is wrong.
    """
    if type(row) is not dict or row.get("schema") != SCHEMA:
        raise ValueError(f"unknown schema {row.get('schema')!r:.60}" if type(row) is dict else "it is not a mapping")
    values = {k: v for k, v in row.items() if k in _KEYS}
    if words:
        values |= {key: _numbers(values[key]) for key in _NUMBERS if key in values}
    for key, value in values.items():
        if key in unchecked and (mistake := _CHECKS[key](value)) is not None:
            raise ValueError(f"{key}: {mistake}" if mistake.startswith("'") else f"{key} {mistake}")
    for key in _REQUIRED:
        if key not in values:
            raise ValueError(f"it has no {key!r}")
    return Record(**values, folder=folder)


_CHECKS = {key: checker(hint) for key, hint in get_type_hints(Record, include_extras=True).items() if key in _KEYS}
_REQUIRED = ("id", "name", "study")


_encode = json.JSONEncoder(allow_nan=False, default=str).encode  # without indentation, which only Python code can do


def _encoded(value: Any) -> str:
    """Return a value as JSON."""
    try:
        return _encode(value)
    except (TypeError, ValueError):  # a number that is not finite, a key that is no text
        return _encode(_to_plain(value))


def _to_plain(value: Any) -> Any:
    """Return a value as plain JSON data; numbers that are not finite as words."""
    if isinstance(value, dict):
        return {str(k): v if type(v) in (str, int) else _to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _numbers(v) if isinstance(v, (dict, str)) else v for k, v in value.items()}
    return float(value) if value in ("nan", "inf", "-inf") else value


def write(record: Record, durable: bool = True) -> None:
    """Write a record atomically: a reader sees either the old or the new one.

    Args:
        record: The record, with its folder.
        durable: True to keep that promise after a crash of the machine too. Otherwise the text is one line.
    """
    write_file(record.folder / FILE, record.to_json(1 if durable else None).encode(), durable)


def write_together(records: Sequence[Record], files: Sequence[Path]) -> None:
    """Write records of one study atomically and durably, which takes hardly longer than to write one.

    Args:
        records: The records, with their folders.
        files: Files that the records refer to, which are synced before any record is in its place.
    """
    write_files({record.folder / FILE: record.to_json().encode() for record in records}, also=files)


def read(folder: Path) -> Record | None:
    """Return the record in a run's folder, or None if it is missing or cannot be read."""
    try:
        return read_record(folder)
    except (OSError, ValueError):
        return None


def read_record(folder: Path) -> Record:
    """Return the record in a run's folder.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If its content is not a record.
    """
    row, words = read_row(folder)
    return from_row(row, folder, words=words)


def has_words(text: bytes) -> bool:
    """Return True if numbers in a text may be written as words ("nan", "inf", "-inf")."""
    return b'nan"' in text or b'inf"' in text


def read_row(folder: Path) -> tuple[Any, bool]:
    """Parse the record in a run's folder without checking it.

    Returns:
        The parsed JSON, and True if numbers in it may be written as words.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the text is not JSON.
    """
    text = safe_files.read(folder / FILE, MAX_BYTES)
    refuse_depth(text)
    try:
        return json.loads(text.decode(errors="surrogatepass")), has_words(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is torn or not JSON") from error


class Records(Sequence[Record]):
    """The runs of a study: a sequence of `Record`.

    `harness.load` sorts them by their values of the swept keys, and then by name, with numbers compared as numbers.

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

    def _repr_html_(self) -> str:
        """Return a table of the first runs, for notebooks."""
        names = list(dict.fromkeys(name for record in self for name in record.metrics))
        shown = [name for name in names if name.startswith("test/")] or names
        rows = [[r.name, r.status, *(_cell(r.metrics.get(name)) for name in shown)] for r in self[:ROWS]]
        more = f"<p>and {len(self) - ROWS} more runs</p>" if len(self) > ROWS else ""
        return _table(["run", "status", *shown], rows) + more

    def factors(self) -> dict[str, list[Any]]:
        """Return the factors of these runs: the keys that were varied, seeds included, with their levels.

        A setting that merely comes with another choice (the default `optimizer.lr` of another optimizer) is no factor.
        The names of a list kind are one level: "none", "l2", "l2+dropout".

        Returns:
            The levels of each factor in natural order: `{"optimizer": ["adam", "sgd"], "seed": [0, 1, 2]}`.
        """
        from harness.results.factors import factors  # imports much that reading records does not need

        return factors(self)

    def to_pandas(self, factors_only: bool = False) -> pandas.DataFrame:
        """Return a data frame with one row for each run.

        The columns, in this order:

        - `id`, `name`, `study`, `status`;
        - each choice and setting that differs and changes the result, by its key. A list kind is one column (`none`,
          `dropout`, `l2+dropout`), followed by the settings of its components (`regularizer.dropout.p`);
        - each metric, by its name;
        - `parameters`; `epochs_made` and `steps_made`; `fit_s`, `share_s` and `total_s` in seconds; `path` (`alone` or
          `fused`); `test_size`, the samples of the test split; `error_type`, for runs that did not complete; `folder`.

        Whole numbers are integers. The only missing value is `pandas.NA`: for a setting that is null or that the run
        does not have, and for a number that was not measured or is nan. A column without a missing value has the types
        int64, float64, bool or str, one with missing values Int64, Float64, boolean or string. Columns of lists, as
        tuples, and of mixed types have the type object.

        Args:
            factors_only: Only return the factors, `status` and the metrics.
        """
        from harness.results.frame import to_frame  # imports pandas

        return to_frame(self, factors_only)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; every cell is escaped, since anyone may have written a record."""
    lines = [("th", header), *(("td", row) for row in rows)]
    cells = ["".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) for tag, row in lines]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested config to {"optimizer.lr": 0.1, "optimizer": "sgd", ...}.

    >>> flat({"seed": 0, "optimizer": {"_component_": "sgd", "lr": 0.1}})
    {'seed': 0, 'optimizer': 'sgd', 'optimizer.lr': 0.1}
    """
    flattened: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            if "_component_" in value:
                flattened[prefix + key] = value["_component_"]
            flattened |= flat(value, f"{prefix}{key}.")
        elif key != "_component_":
            flattened[prefix + key] = tuple(value) if isinstance(value, list) else value
    return flattened
