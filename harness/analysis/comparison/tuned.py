"""How the settings of the arms were found: budgets, winners, and the best score against the budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.analysis.comparison.levels import Run, level_text
from harness.analysis.comparison.model import BudgetCurve, Metric, Tuned, Winner
from harness.analysis.comparison.model import Tuning as Answer
from harness.analysis.comparison.outcomes import choose_metric
from harness.analysis.stats.tuning_curves import best_so_far, tuning_curve
from harness.results.tuning import Tuning, read_tunings
from harness.system.errors import HarnessError

COVERAGE = 0.95
MAX_NAMED = 4  # arms that a sentence names
_NEEDED = {"id", "method", "budget", "trials", "failed", "steps", "seeds", "objective", "settings", "score", "border"}
METHODS = {"random": "random search", "tpe": "TPE", "grid": "grid search"}


@dataclass
class _Contestant:
    """The searches of one arm on one data set; several with `tune.per_seed`.

    Arms of one `search_of` differ in nothing but their budget, and the shorter random search is a part of the longer.
    """

    arm: str
    data: str
    search_of: tuple[Any, ...] = ()
    searches: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # what records say of each, by its ID

    @property
    def method(self) -> str:
        return str(next(iter(self.searches.values()))["method"])

    @property
    def budget(self) -> int:
        return max(int(search["budget"]) for search in self.searches.values())


def tuning(runs: Sequence[Run], study: Path | None, notes: list[str]) -> Answer:
    """Return how the settings of the arms were found.

    Args:
        runs: The runs that are compared.
        study: Folder of the study, which has the trials; None if it is not known.
        notes: List that gets a line on what a reader should know of the verdict.
    """
    contestants = _contestants(runs)
    if not contestants:
        return Answer()
    unreadable: list[str] = []
    files = {} if study is None else {found.id: found for found in read_tunings(study, unreadable)}
    if unreadable:
        notes.append(f"left out: {'; '.join(unreadable[:3])}")
    metrics = {
        name: _metric(runs, name) for name in {str(s["objective"]) for c in contestants for s in c.searches.values()}
    }
    tuned = []
    for _, group in groupby(contestants, key=lambda c: c.data):
        of_data = list(group)
        banded = [c for c in of_data if c.method == "random" and c.budget == _longest(c, of_data)]
        coverage = 1 - (1 - COVERAGE) / max(1, len(banded))
        tuned += [_tuned(c, files, metrics, coverage, c in banded or c.method != "random") for c in of_data]
    notes += _scope(runs, tuned)
    return Answer(tuned, COVERAGE, leaders(tuned), borders(tuned))


def _contestants(runs: Sequence[Run]) -> list[_Contestant]:
    """Return the tuned arms on each data set, in the order of the data sets and of the runs."""
    averaged = len({run.rest for run in runs}) > 1
    found: dict[tuple[str, str], _Contestant] = {}
    places = {data: place for place, data in enumerate(dict.fromkeys(run.data for run in runs))}
    for run in sorted(runs, key=lambda run: places[run.data]):
        search = run.record.tuning
        if search.keys() >= _NEEDED:
            arm = ",".join([run.arm, *(level_text(x) for x in run.rest if x is not None)]) if averaged else run.arm
            same = tuple((key, x) for key, x in run.levels.items() if key != "tune.budget")
            contestant = found.setdefault((run.data, arm), _Contestant(arm, run.data, (same, run.rest)))
            contestant.searches.setdefault(str(search["id"]), search)
    return list(found.values())


def _longest(of: _Contestant, others: Sequence[_Contestant]) -> int:
    """Return the largest budget of the arms that differ from one in nothing else."""
    return max(other.budget for other in others if other.search_of == of.search_of)


def _metric(runs: Sequence[Run], name: str) -> Metric:
    records = [run.record for run in runs if run.record.tuning.get("objective") == name]
    try:
        return choose_metric(records, name)
    except HarnessError:  # no judged run has completed
        return Metric(name, higher_is_better=not name.endswith("loss"), scale="difference")


def _tuned(
    of: _Contestant, files: Mapping[str, Tuning], metrics: Mapping[str, Metric], coverage: float, curve: bool
) -> Tuned:
    searches = list(of.searches.values())
    first = searches[0]
    metric = metrics[str(first["objective"])]
    known = [files[key] for key in of.searches if key in files]
    return Tuned(
        arm=of.arm,
        data=of.data,
        metric=metric,
        method=of.method,
        budget=of.budget,
        trials=sum(int(search["trials"]) for search in searches),
        failed=sum(int(search["failed"]) for search in searches),
        steps=sum(int(search["steps"]) for search in searches),
        seeds=len(first["seeds"]),
        space=known[0].space if known else {},
        winners=[_winner(search) for search in searches],
        curve=_curve(known, metric, coverage) if curve and len(known) == len(searches) else None,
    )


def _winner(search: Mapping[str, Any]) -> Winner:
    scores = [_finite(neighbour.get("score")) for neighbour in search.get("neighbours", ())]
    return Winner(search["settings"], _finite(search["score"]), search["border"], scores)


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _curve(searches: Sequence[Tuning], metric: Metric, coverage: float) -> BudgetCurve | None:
    """Return the curve of a contestant; the random trials of several searches are trials of one distribution."""
    higher = searches[0].higher_is_better
    if searches[0].method != "random":
        best = best_so_far([trial.score for trial in searches[0].trials], higher)
        return BudgetCurve(list(range(1, len(best) + 1)), best.tolist()) if len(searches) == 1 else None
    scores = [trial.score for search in searches for trial in search.trials]
    support = (0.0, 1.0) if metric.share else (0.0 if metric.scale == "ratio" else -math.inf, math.inf)
    if any(not support[0] <= score <= support[1] for score in scores if math.isfinite(score)):
        support = (-math.inf, math.inf)
    curve = tuning_curve(scores, higher, coverage, support)
    most = max(len(search.trials) for search in searches)
    edges = [line[:most].tolist() for line in (curve.median, curve.low, curve.high)]
    return BudgetCurve(list(range(1, most + 1)), *edges)


def _scope(runs: Sequence[Run], tuned: Sequence[Tuned]) -> list[str]:
    """Return notes on how far the verdict reaches."""
    notes = []
    if any(len(t.winners) == 1 for t in tuned):
        notes.append(
            "the verdict is about the settings that this search found: another search may find others "
            "(tune.per_seed=true tunes anew for each seed, and the verdict then includes that)"
        )
    searched = {t.arm for t in tuned}
    untuned = [arm for arm in dict.fromkeys(run.arm for run in runs if not run.record.tuning) if arm not in searched]
    if untuned:
        more = f" and {len(untuned) - 4} more" if len(untuned) > 4 else ""
        notes.append(f"not tuned, but compared with arms that are: {', '.join(untuned[:4])}{more}")
    return notes


def leaders(tuned: Sequence[Tuned]) -> list[str]:
    """Return a line for each data set: the arm that leads at the full budget, from which budget on, and how surely."""
    lines = []
    for data in dict.fromkeys(t.data for t in tuned):
        of_data = [t for t in tuned if t.data == data]
        curves = {t.arm: t.curve for t in of_data if t.curve is not None and len(t.curve.low)}
        budget = min((len(curve.budgets) for curve in curves.values()), default=0)
        if len(curves) > 1 and budget > 1 and len({t.metric for t in of_data}) == 1:
            sign = 1 if of_data[0].metric.higher_is_better else -1
            leader, sentence = _leader(curves, budget, sign)
            lines.append(f"{data}: {sentence}. {_separation(leader, curves, budget, sign)}.")
    return lines


def _leader(curves: Mapping[str, BudgetCurve], budget: int, sign: int) -> tuple[str, str]:
    """Return the arm that leads at the largest common budget, and from which budget on it does.

    Args:
        curves: The curve of each arm.
        budget: The largest budget that all curves have.
        sign: 1 if a higher score is better, else -1.
    """

    def ahead(at: int) -> list[str]:
        top = max(sign * curve.score[at] for curve in curves.values())
        return [arm for arm, curve in curves.items() if sign * curve.score[at] == top]

    def since(arm: str) -> int:
        behind = [at for at in range(budget) if arm not in ahead(at)]
        return behind[-1] + 1 if behind else 0

    leader = min(ahead(budget - 1), key=since)
    start = since(leader)
    if start == 0:
        return leader, f"{leader} leads at every budget up to {_trials(budget)}"
    before = ahead(start - 1)[0]
    return leader, f"{leader} leads only from {_trials(start + 1)} on; at {_trials(start)} {before} is ahead"


def _separation(leader: str, curves: Mapping[str, BudgetCurve], budget: int, sign: int) -> str:
    """Return at which budgets the bands of the leader and of others are apart."""
    parts = []
    for place, first in (("ahead of", True), ("behind", False)):
        for arm in curves:
            pair = (curves[leader], curves[arm]) if first else (curves[arm], curves[leader])
            apart = [at + 1 for at in range(budget) if arm != leader and _apart(*pair, at, sign)]
            if apart:
                span = str(apart[0]) if len(apart) == 1 else f"{apart[0]} to {apart[-1]}"
                parts.append(f"{place} that of {arm} at {span} {'trial' if apart[-1] == 1 else 'trials'}")
    if not parts:
        return "Its band overlaps all others at every budget, so the trials do not settle this order"
    more = f", and {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    return f"Its band is {', '.join(parts[:MAX_NAMED])}{more}; elsewhere the trials do not settle the order"


def _apart(better: BudgetCurve, worse: BudgetCurve, at: int, sign: int) -> bool:
    return better.low[at] > worse.high[at] if sign > 0 else better.high[at] < worse.low[at]


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


def borders(tuned: Sequence[Tuned]) -> list[str]:
    """Return a warning for each setting of an arm of which winners lie at the border of its space."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for t in tuned:
        for key, times in Counter(key for w in t.winners if w.score is not None for key in w.border).items():
            many = f" ({times} of {len(t.winners)} searches)" if len(t.winners) > 1 else ""
            value = "" if many else f" ({number_text(t.winners[0].settings.get(key))})"
            found.setdefault((t.arm, key, t.space.get(key, "its space")), []).append(f"{t.data}{value}{many}")
    return [
        f"{arm}: {key} lies at the border of {space} on {', '.join(places)}; a better value may lie outside: "
        f"tune.space.{key}=... searches another space"
        for (arm, key, space), places in found.items()
    ]


def number_text(value: Any) -> str:
    """Return a value of a setting as text; a number with four significant digits.

    >>> number_text(0.00011485045), number_text("tanh"), number_text(True), number_text(64)
    ('0.0001149', 'tanh', 'true', '64')
    """
    return f"{value:.4g}" if isinstance(value, float) else level_text(value)
