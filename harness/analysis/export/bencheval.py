"""Export a study as a results frame for `bencheval`, the engine of TabArena's leaderboards (Elo, ranks, win rates).

It has a row for each arm, data set and seed with the columns `method`, `task`, `seed`, `metric_error` (lower is better,
never negative) and `time_train_s`. harness measures no time of inference, so `time_infer_s` is not there.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas

from harness.analysis.comparison.levels import layout
from harness.analysis.comparison.model import Metric
from harness.analysis.comparison.outcomes import choose_metric, value
from harness.results.record import Record
from harness.system.errors import HarnessError

COLUMNS = ("method", "task", "seed", "metric_error", "time_train_s")


def frame(records: Sequence[Record]) -> tuple[pandas.DataFrame, Metric]:
    """Return the results frame of the completed runs, and the metric that its errors are of.

    The error of a share such as accuracy is 1 - share; that of a loss is the loss.

    Raises:
        HarnessError: If there is nothing to compare, or if the metric is no error.
    """
    metric = choose_metric(records, None)
    rows: list[tuple[object, ...]] = []
    numbers: dict[tuple[str, str, tuple[object, ...]], int] = {}
    for run in layout(records).runs:
        x = value(run.record, metric.name)
        if x is None or run.record.status != "completed":
            continue
        error = 1 - x if metric.share else x
        if error < 0 or (metric.higher_is_better and not metric.share):
            raise HarnessError(
                f"bencheval takes errors, which are not negative and lower is better: {metric.name} is none"
            )
        seed = run.seeds.get("seed", 0)
        place = (run.arm, run.data, (seed,))
        if numbers.setdefault(place, len(rows)) != len(rows):
            raise HarnessError(
                f"bencheval takes one run for each arm, data set and seed: {run.arm} on {run.data} has several with "
                f"seed {seed}"
            )
        rows.append((run.arm, run.data, seed, error, run.record.time.get("share_s")))
    return pandas.DataFrame(rows, columns=list(COLUMNS)), metric
