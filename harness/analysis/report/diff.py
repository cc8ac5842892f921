"""Compare two runs: what differs in config, code, environment, data and results."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.analysis.report.table import aligned
from harness.results.curves import read_curves
from harness.results.record import Record, flat
from harness.results.run_id import changes_result
from harness.system.errors import short_path, shown
from harness.system.escape import printable

_MISSING = object()
_DIGEST = re.compile(r"[0-9a-f]{16}")
_MACHINE = "systems/"  # curves that measure the machine and not the run
_LAUNCH = ("size", "path", "executor", "processes", "steps")  # of the cohort
_WIDTH = 60  # of a value in the text

Row = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """A key with a value in each of two runs; None in a run that lacks it."""

    key: str
    a: Any
    b: Any
    change: float | None = None


@dataclass(frozen=True)
class Diff:
    """The differences of two runs.

    Attributes:
        a: The first run: ID, name, study, status and folder.
        b: The second run.
        config: Settings that change the result.
        launch: Settings that do not, and how the runs were launched and trained.
        code: Packages whose content differs, with digests; versions of harness and of plugins; the commit.
        environment: Versions of other packages, device and processor.
        data: Name, digest and sizes.
        results: Status, metrics and numbers of the model.
        cost: Time and memory.
        curves: The first step at which a value of the curves differs, or None.
        notes: Lines on what the records do not say.
    """

    a: Row
    b: Row
    config: list[Difference]
    launch: list[Difference]
    code: list[Difference]
    environment: list[Difference]
    data: list[Difference]
    results: list[Difference]
    cost: list[Difference]
    curves: Row | None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> Row:
        """Return the differences as plain data; numbers that are not finite are words."""
        plain: Row = _plain(asdict(self))
        return plain


def diff(a: Record, b: Record) -> Diff:
    """Compare two runs."""
    config = _differences(_config(a), _config(b))
    code = _differences(_code(a), _code(b))
    environment = _differences(_environment(a), _environment(b))
    data = _differences(_flat(a.data), _flat(b.data))
    changing = [d for d in config if changes_result(d.key)]
    notes = []
    lacking = [record.id for record in (a, b) if "sources" not in record.environment]
    if lacking:
        notes.append(f"the record of {' and '.join(lacking)} is of an older version, which kept no digests of the code")
        if a.id != b.id and not changing and not any(d.key == "digest" for d in data):
            notes.append("the IDs differ, and config and data do not: the code or a version differs")
    return Diff(
        a=_about(a),
        b=_about(b),
        config=changing,
        launch=[d for d in config if not changes_result(d.key)] + _differences(_launch(a), _launch(b)),
        code=code,
        environment=environment,
        data=data,
        results=_differences(_results(a), _results(b)),
        cost=_differences(_cost(a), _cost(b)),
        curves=_first_difference(a, b),
        notes=notes,
    )


def _about(record: Record) -> Row:
    return {"id": record.id, "name": record.name, "study": record.study, "status": record.status} | {
        "folder": short_path(record.folder)
    }


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Return the keys whose values differ, in their order."""
    rows = []
    for key in {**a, **b}:
        left, right = a.get(key, _MISSING), b.get(key, _MISSING)
        if _text(left) == _text(right):
            continue
        numbers = [x for x in (left, right) if isinstance(x, int | float) and not isinstance(x, bool)]
        change = numbers[1] - numbers[0] if len(numbers) == 2 and all(map(math.isfinite, numbers)) else None
        rows.append(Difference(key, a.get(key), b.get(key), change))
    return rows


def _flat(values: Mapping[str, Any]) -> Row:
    """Flatten nested mappings: {"data.digest": ...}."""
    rows: Row = {}
    for key, value in values.items():
        rows |= {f"{key}.{inner}": x for inner, x in _flat(value).items()} if isinstance(value, dict) else {key: value}
    return rows


def _config(record: Record) -> Row:
    """Return settings and choices; a list kind is one key with its names, in the order in which they are applied."""
    lists = {kind: names for kind, names in record.choices.items() if isinstance(names, list)}
    chosen = {f"{kind}.{name}" for kind, names in lists.items() for name in names}  # names, not settings
    return lists | {key: value for key, value in flat(record.config).items() if key not in chosen}


def _launch(record: Record) -> Row:
    return {"command": record.command} | {f"cohort.{key}": record.cohort.get(key) for key in _LAUNCH}


def _sources(record: Record) -> dict[str, str]:
    sources = record.environment.get("sources", {})
    return sources if isinstance(sources, dict) else {}


def _code(record: Record) -> Row:
    own = {name: state for name, state in _sources(record).items() if _DIGEST.match(state)}
    described = {"harness.version": record.environment.get("harness"), "git": record.environment.get("git")}
    return own | described | {f"plugins.{name}": x for name, x in record.environment.get("plugins", {}).items()}


def _environment(record: Record) -> Row:
    packages = {name: state for name, state in _sources(record).items() if not _DIGEST.match(state)}
    described = {k: v for k, v in record.environment.items() if k not in ("harness", "git", "plugins", "sources")}
    return packages | described


def _results(record: Record) -> Row:
    best = {f"best.{name}.epoch": value.get("epoch") for name, value in record.best.items()}
    error = record.error or {}
    return {
        "status": record.status,
        **({"error": f"{error.get('type')}: {error.get('message')}"} if error else {}),
        **({"ended": record.ended["reason"]} if "reason" in record.ended else {}),
        **record.metrics,
        **best,
        **{f"model.{key}": value for key, value in record.model.items()},
        **{f"steps.{key}": value for key, value in record.steps.items()},
        **({"tuning.score": record.tuning.get("score")} if record.tuning else {}),
    }


def _cost(record: Record) -> Row:
    times = {key: record.time.get(key) for key in ("share_s", "total_s", "samples_per_s") if key in record.time}
    return times | ({"memory.peak": record.memory["peak"]} if "peak" in record.memory else {})


def _first_difference(a: Record, b: Record) -> Row | None:
    """Return the first step at which a value that both runs measured differs, with the number of equal values."""
    left, right = _curve(a), _curve(b)
    equal = 0
    for (step, metric), (epoch, value) in sorted(left.items()):
        if (step, metric) not in right:
            continue
        other = right[step, metric][1]
        if repr(value) != repr(other):
            return {"step": step, "epoch": epoch, "metric": metric, "a": value, "b": other, "equal_values": equal}
        equal += 1
    return None


def _curve(record: Record) -> dict[tuple[int, str], tuple[int, float]]:
    rows = read_curves(record)
    return {(step, name): (epoch, value) for step, epoch, name, value in rows if not name.startswith(_MACHINE)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def diff_text(found: Diff) -> str:
    """Return the differences as text, a table for each part."""
    lines = aligned(["", "run", "status", "name"], [_head("a", found.a), _head("b", found.b)])
    parts: dict[str, Callable[[Difference], list[str]]] = {
        "config": _row, "launch": _row, "code": _row, "environment": _row, "data": _row, "results": _numbers,
        "cost": _numbers,
    }  # fmt: skip
    same = []
    for part, row in parts.items():
        differences = getattr(found, part)
        if not differences:
            same.append(part)
            continue
        header = ["", "a", "b", *(["b - a"] if row is _numbers else [])]
        table = aligned([part, *header[1:]], [row(d) for d in differences], header[1:] if row is _numbers else ())
        lines += ["", *table]
    if found.curves is None:
        same.append("curves")
    else:
        x = found.curves
        lines += [
            "",
            f"curves differ from step {x['step']} (epoch {x['epoch']}): {x['metric']} is {x['a']!r} and {x['b']!r}",
        ]
    if same:
        lines += ["", f"no difference in {', '.join(same)}"]
    lines += [f"note  {note}" for note in found.notes]
    return "\n".join(map(printable, lines))


def _head(letter: str, run: Row) -> list[str]:
    return [letter, run["id"], run["status"], run["name"]]


def _row(difference: Difference) -> list[str]:
    return [difference.key, _short(difference.a), _short(difference.b)]


def _numbers(difference: Difference) -> list[str]:
    change = "" if difference.change is None else f"{difference.change:+.4g}"
    return [difference.key, _number(_short(difference.a)), _number(_short(difference.b)), change]


def _number(text: str) -> str:
    """Return a number with six significant digits; another text unchanged.

    >>> _number("0.30000000000000004"), _number("26122"), _number("completed")
    ('0.3', '26122', 'completed')
    """
    try:
        return text if "." not in text else f"{float(text):.6g}"
    except ValueError:
        return text


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = f"[{', '.join(map(_short, value))}]"
    else:
        text = value if isinstance(value, str) else "-" if value is None else shown(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _text(value: Any) -> str:
    """Return a value as text, by which nan is equal to nan, and 1 is not equal to 1.0 or True."""
    return repr(list(value) if isinstance(value, tuple) else value)
