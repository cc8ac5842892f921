"""Details of a comparison: failures, shares of the variance, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.analysis.comparison.levels import Run
from harness.analysis.comparison.model import Arm, Curve, Failure, Metric, Table
from harness.analysis.comparison.outcomes import FAILED
from harness.analysis.comparison.pairing import Units
from harness.analysis.report.failures import reason
from harness.analysis.report.findings import findings
from harness.analysis.stats.completion import fisher
from harness.analysis.stats.paired import estimate
from harness.analysis.stats.variance import shares, variance_components
from harness.results.curves import read_curves
from harness.results.record import Record

MAX_CURVES = 2_000  # runs whose curves are read
MAX_EXAMINED = 10  # groups of failed runs that plugins are asked about


def failures(runs: Sequence[Run], tables: Sequence[Table], examine: bool = False) -> list[Failure]:
    """Return the runs that did not complete, grouped by arm, data set and reason.

    Fisher's test compares the completion of the arm with that of the arm that completed most often.

    Args:
        runs: All runs.
        tables: The comparison on each data set.
        examine: Whether to ask plugins for findings about one run of each group, which takes time.
    """
    groups: dict[tuple[str, str, str, str], list[Record]] = {}
    for run in runs:
        if run.record.status != "completed":
            groups.setdefault((run.data, run.arm, run.record.status, reason(run.record)), []).append(run.record)
    found: list[Failure] = []
    for (data, name, status, why), records in groups.items():
        table = next(table for table in tables if table.data == data)
        arm = next(arm for arm in table.arms if arm.name == name)
        most = max(table.arms, key=lambda other: other.completed / other.runs)
        p = None if arm.name == most.name else fisher(arm.completed, arm.runs, most.completed, most.runs)
        ask = examine and status in FAILED and len(found) < MAX_EXAMINED
        lines = [line for _, line in findings(records[:1])] if ask else []
        found.append(Failure(name, data, status, why, len(records), arm.runs, p, lines))
    return found


def variance(arms: Sequence[Arm], units: Units, metric: Metric) -> dict[str, float]:
    """Return the shares of the variance that are due to units, to arms and to neither; empty if unknown.

    Units that an arm lacks are left out.
    """
    whole = [arm for arm in arms if arm.values]
    common = [unit for unit in whole[0].values if all(unit in arm.values for arm in whole)] if whole else []
    if len(whole) < 2 or len(common) < 3:
        return {}
    scores = np.array([[arm.values[unit] for arm in whole] for unit in common])
    components = variance_components(np.log(scores) if metric.scale == "ratio" else scores)
    noun = "split and seed" if units.scope.startswith("over splits") else units.noun
    return {{"unit": noun}.get(name, name): share for name, share in shares(components).items()}


def learning_curves(runs: Sequence[Run], metric: Metric) -> list[Curve]:
    """Return the mean learning curve of each arm on each data set, with a 95% band of the mean.

    The metric is the compared one as measured on validation in each epoch. An epoch that fewer runs reached than the
    first is left out.
    """
    name = f"val/{metric.name.rpartition('/')[2]}"
    groups: dict[tuple[str, str], list[Mapping[int, float]]] = {}
    for run in runs[:MAX_CURVES]:
        if run.record.status == "completed":
            values = {epoch + 1: x for _, epoch, key, x in read_curves(run.record) if key == name and np.isfinite(x)}
            if values:
                groups.setdefault((run.arm, run.data), []).append(values)
    curves = []
    for (arm, data), found in groups.items():
        epochs = sorted(set.intersection(*(set(values) for values in found)))
        if not epochs:
            continue
        rows = np.array([[values[epoch] for epoch in epochs] for values in found])
        mean = rows.mean(0)
        low, high = mean, mean
        if len(found) > 2:
            bands = [estimate(column) for column in rows.T]
            low, high = np.array([b.low for b in bands]), np.array([b.high for b in bands])
        curves.append(Curve(arm, data, name, epochs, mean.tolist(), low.tolist(), high.tolist()))
    return curves
