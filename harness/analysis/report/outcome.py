"""The outcome of a sweep in a few lines: the verdict, and the best arm on each data set by its mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.analysis.comparison.chance import is_at_chance
from harness.analysis.comparison.model import Comparison, Table
from harness.analysis.report import numbers
from harness.analysis.report.api import common_study
from harness.analysis.report.failures import shorten
from harness.analysis.report.tally import Best
from harness.results.record import Record
from harness.system.errors import HarnessError, one_line, reraise_interrupt

MAX_VERDICT = 3  # lines of the verdict to show
MAX_WARNINGS = 3  # on settings found by tuning to show
MAX_DATA = 10  # data sets to name the best arm of
NAME = 20  # columns that a shortened name keeps


def outcome(records: Sequence[Record], best: Iterable[Best], width: int | None = None) -> list[str]:
    """Return the lines on the outcome of a sweep.

    Args:
        records: The runs of the sweep.
        best: The best run of each objective, for a sweep in which nothing can be compared.
        width: Columns that names are shortened to; None for whole names.
    """
    alone = single_runs(records, best, width)
    if sum(record.status == "completed" for record in records) < 2:
        return alone
    try:
        comparison = _compare(records)
        return compared(comparison, width) or [*alone, *_more_seeds(comparison)]
    except HarnessError as error:
        return [*alone, f"  verdict   {error}"]
    except Exception as error:  # the runs are trained and recorded: a sweep does not end with a traceback
        reraise_interrupt(error)
        return [*alone, f"  verdict   the comparison failed: {one_line(error)}"]


def _more_seeds(comparison: Comparison) -> list[str]:
    return [f"  seeds     {comparison.more}"] if comparison.factors and comparison.more else []


def _compare(records: Sequence[Record]) -> Comparison:
    from harness.analysis.comparison.compare import compare

    return compare(records, study=common_study(records))


def compared(comparison: Comparison, width: int | None = None) -> list[str]:
    """Return the lines on a comparison; none if there is nothing to compare: no second seed, or no completed run."""
    tables = [table for table in comparison.tables if table.units > 1 and table.arms and table.arms[0].completed > 1]
    if not tables:
        return []
    lines = [f"  {'verdict' if not i else '':<8}  {line}" for i, line in enumerate(comparison.verdict[:MAX_VERDICT])]
    if not comparison.factors:
        lines = []
    lines += [f"  tuning    {line}" for line in comparison.tuning.warnings[:MAX_WARNINGS]]
    lines += [_best_arm(comparison, table, width) for table in tables[:MAX_DATA]]
    if len(tables) > MAX_DATA:
        lines.append(f"  and {len(tables) - MAX_DATA} more data sets: see the report")
    return lines


def _best_arm(comparison: Comparison, table: Table, width: int | None) -> str:
    arm, metric = table.arms[0], comparison.metric
    where = f" on {table.data}" if table.data is not None and len(comparison.tables) > 1 else ""
    line = f"  {'best' if comparison.factors else 'mean':<8}  {metric.name} {numbers.score(arm.mean, metric)}{where}"
    details = f"mean of {numbers.count(arm.completed, table.unit)}"
    if is_at_chance(arm, table.chance, metric):
        details += ", no better than a constant prediction"
    if not comparison.factors:
        return f"{line}  {details}, {numbers.mean_interval(arm.low, arm.high, metric)}".removesuffix(", ")
    room = None if width is None else max(NAME, width - len(line) - len(details) - 4)
    return f"{line}  {arm.name if room is None else shorten(arm.name, room)}  {details}"


def single_runs(records: Sequence[Record], best: Iterable[Best], width: int | None = None) -> list[str]:
    """Return a line on the best run of each objective, which says that it is one run."""
    lines = []
    for one in best:
        completed = (record for record in records if record.status == "completed")
        n = len({record.id for record in completed if math.isfinite(record.metrics.get(one.metric, math.nan))})
        line = f"  best      {one.metric} {one.value:.4g}  "
        extreme = "highest" if one.higher_is_better else "lowest"
        note = f"  {extreme} of {n} single runs, which says nothing about seeds" if n > 1 else ""
        room = None if width is None else max(NAME, width - len(line) - len(note))
        lines.append(f"{line}{one.name if room is None else shorten(one.name, room)}{note}")
    return lines
