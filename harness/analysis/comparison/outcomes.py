"""Read the values of one metric from records, with its direction and scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.analysis.comparison.model import Metric, Scale
from harness.analysis.stats.paired import shares
from harness.results.record import Record
from harness.system.errors import HarnessError, suggest

TIMES = ("time/share_s", "time/fit_s", "time/total_s")
FAILED = ("failed", "diverged")  # a run that ended so has lost; others that did not complete are left out
_MAX_SHARE = 100_000  # samples; of more, float32 does not tell shares from other numbers


def choose_metric(records: Sequence[Record], name: str | None) -> Metric:
    """Return the metric to compare: the one named, or the objective as measured on the test split.

    Raises:
        HarnessError: If no run has it, or the runs have different objectives, or the direction is not recorded.
    """
    completed = [record for record in records if record.status == "completed"]
    if not completed:
        raise HarnessError(_nothing(records))
    name = _default(completed) if name is None else _known(completed, name)
    higher = False if name in TIMES else _direction(completed, name)
    values = [x for record in completed if (x := value(record, name)) is not None]
    if not values:
        raise HarnessError(f"no completed run has a finite {name}")
    share = higher and _are_shares(completed, name)
    scale: Scale = "ratio" if not higher and min(values) > 0 else "difference"
    return Metric(name, higher, scale, share)


def _nothing(records: Sequence[Record]) -> str:
    counts = Counter(record.status for record in records)
    listed = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    return f"no run has completed ({listed or 'there are none'}): nothing can be compared; --runs lists them"


def _default(completed: Sequence[Record]) -> str:
    objectives = list(dict.fromkeys(str(record.config.get("objective")) for record in completed))
    if len(objectives) > 1:
        raise HarnessError(f"the runs have different objectives ({', '.join(objectives[:4])}): name one with --metric")
    test = objectives[0].replace("val/", "test/")
    return test if any(test in record.metrics for record in completed) else objectives[0]


def _known(completed: Sequence[Record], name: str) -> str:
    known = sorted({metric for record in completed for metric in record.metrics} | set(TIMES))
    if name in known:
        return name
    ends = [metric for metric in known if metric.rpartition("/")[2] == name]
    for split in ("test/", "time/", "val/"):
        if split + name in ends:
            return split + name
    raise HarnessError(f"no run has the metric {name!r}.{suggest(name, known)}")


def _direction(completed: Sequence[Record], name: str) -> bool:
    tail = name.rpartition("/")[2]
    for record in completed:
        if name in record.directions:
            return record.directions[name]
        best = record.best.get(f"val/{tail}", {})
        if "higher_is_better" in best:
            return bool(best["higher_is_better"])
    if tail == "loss":
        return False
    raise HarnessError(f"it is not recorded whether a higher {name} is better: choose another metric with --metric")


def unusual(runs: Sequence[Record], name: str) -> list[str]:
    """Return notes on completed runs that lack a metric, and on those whose value is not finite."""
    completed = [record for record in runs if record.status == "completed"]
    lacking = sum(not is_measured(record, name) for record in completed)
    infinite = sum(value(record, name) is None for record in completed) - lacking
    notes = []
    if lacking:
        notes.append(f"left out: {lacking} completed runs have no {name}")
    if infinite:
        notes.append(f"{infinite} completed runs have no finite {name}, and count as lost")
    return notes


def size(record: Record, name: str) -> int | None:
    """Return the number of samples that a metric was measured on."""
    n = record.data.get(name.partition("/")[0])
    return int(n) if n else None


def _are_shares(completed: Sequence[Record], name: str) -> bool:
    for record in completed:
        x, n = value(record, name), size(record, name)
        if n is None or n > _MAX_SHARE:
            return False
        if x is not None and (not 0 <= x <= 1 or abs(x * n - round(x * n)) > 1e-6 * n):
            return False
    return True


def is_measured(record: Record, name: str) -> bool:
    """Return True if a run has a metric, finite or not."""
    group, _, key = name.partition("/")
    return record.time.get(key) is not None if group == "time" else name in record.metrics


def value(record: Record, name: str) -> float | None:
    """Return a run's value of a metric, or None if it has none that is finite."""
    group, _, key = name.partition("/")
    x = record.time.get(key) if group == "time" else record.metrics.get(name)
    return float(x) if isinstance(x, int | float) and math.isfinite(x) else None


def outcome(record: Record, metric: Metric) -> float | None:
    """Return a run's value on the scale of the comparison, or None if it failed.

    Shares are rounded to k/n; on the ratio scale the value is a logarithm.
    """
    if record.status != "completed":
        return None
    x = value(record, metric.name)
    if x is None:
        return None
    if metric.share and (n := size(record, metric.name)):
        return float(shares(x, n))
    return math.log(x) if metric.scale == "ratio" and x > 0 else None if metric.scale == "ratio" else x


def shown_value(x: float, metric: Metric) -> float:
    """Return a value or a difference on the scale of the comparison as it is shown: a ratio as a ratio."""
    return float(np.exp(x)) if metric.scale == "ratio" else x


def refuse_mixed_paths(records: Sequence[Record], metric: Metric) -> None:
    """Refuse to compare times of runs that were trained by different paths.

    Raises:
        HarnessError: If they were.
    """
    if metric.name not in TIMES:
        return
    paths = {str(record.cohort.get("path")) for record in records if record.status == "completed"}
    if len(paths) > 1:
        raise HarnessError(
            f"{metric.name} of runs trained by different paths ({', '.join(sorted(paths))}) cannot be compared: "
            "train them all with path=alone, or with path=fused"
        )
