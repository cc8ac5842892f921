"""How the settings of the arms were found, as columns of text for every text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.comparison.model import Comparison, Metric, Tuned, Winner
from harness.analysis.comparison.tuned import METHODS, number_text
from harness.analysis.report.numbers import count, score, significant
from harness.analysis.report.ranking import Columns
from harness.results.levels import as_level, distinct


def tuning_title(comparison: Comparison) -> str:
    """Return the heading of the table of searches, with what all of them have in common."""
    tuned = comparison.tuning.contestants
    parts = [METHODS.get(method, method) for method in dict.fromkeys(t.method for t in tuned)]
    budgets = sorted({t.budget for t in tuned})
    parts.append(f"{''.join(f'{budget} or ' for budget in budgets[:-1])}{count(budgets[-1], 'trial')} for each arm")
    parts.append(" or ".join(count(seeds, "seed") for seeds in sorted({t.seeds for t in tuned})) + " each")
    return f"tuning: {', '.join(parts)}, scored by {' and '.join(dict.fromkeys(t.metric.name for t in tuned))}"


def tuning_lines(comparison: Comparison) -> list[str]:
    """Return which arm leads at which budget, and the warnings."""
    return [*comparison.tuning.leaders, *comparison.tuning.warnings]


def tuning_columns(comparison: Comparison) -> Columns:
    """Return the columns of the table of searches; a column that says nothing is left out."""
    tuned = comparison.tuning.contestants
    columns = {
        "arm": ["arm", *(t.arm for t in tuned)],
        "data": ["data", *(t.data for t in tuned)],
        "method": ["method", *(t.method for t in tuned)],
        "runs": ["trials", *(str(t.trials) for t in tuned)],
        "failed": ["failed", *(str(t.failed) for t in tuned)],
        "steps": ["steps", *(f"{t.steps:,}" for t in tuned)],
        "mean": ["score", *(winner_score(t) for t in tuned)],
        "neighbours": ["nearest trials", *(neighbours(t) for t in tuned)],
        "settings": ["settings found", *(settings_text(t.winners) for t in tuned)],
    }
    for key in ("data", "method"):
        if len(set(columns[key][1:])) == 1:
            del columns[key]
    if not any(t.failed for t in tuned):
        del columns["failed"]
    return {key: column for key, column in columns.items() if any(column[1:])}


def winner_score(tuned: Tuned) -> str:
    """Return the score of the winner; of several searches the lowest and the highest."""
    scores = [winner.score for winner in tuned.winners if winner.score is not None]
    ends = dict.fromkeys(_plain(x, tuned.metric) for x in ([min(scores), max(scores)] if scores else []))
    return " to ".join(ends) or "none completed"


def neighbours(tuned: Tuned) -> str:
    """Return the scores of the trials nearest to the winner, by which a reader sees how flat the optimum is."""
    if len(tuned.winners) > 1:
        return ""
    return " ".join("failed" if x is None else _plain(x, tuned.metric) for x in tuned.winners[0].neighbours)


def settings_text(winners: Sequence[Winner]) -> str:
    """Return the settings of a winner; of several the ranges of their values.

    >>> found = [Winner({"optimizer.lr": x, "optimizer.nesterov": True}, 0.9, [], []) for x in (0.03, 0.002)]
    >>> settings_text(found[:1]), settings_text(found)
    ('lr=0.03 nesterov=true', 'lr=0.002..0.03 nesterov=true')
    """
    keys = list(dict.fromkeys(key for winner in winners for key in winner.settings))
    short = Counter(key.rpartition(".")[2] for key in keys)
    names = {key: last if short[last := key.rpartition(".")[2]] == 1 else key for key in keys}
    return " ".join(f"{names[key]}={_values(key, [winner.settings for winner in winners])}" for key in keys)


def _values(key: str, settings: Sequence[Mapping[str, Any]]) -> str:
    values = distinct(as_level(key, row[key]) for row in settings if key in row)
    if len(values) > 1 and all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        return f"{number_text(values[0])}..{number_text(values[-1])}"
    return "|".join(map(number_text, values))


def curve_sections(comparison: Comparison, most: int | None = None) -> list[tuple[str, Columns]]:
    """Return (title, columns) for each data set: the best score that so many trials lead to.

    Args:
        comparison: The comparison.
        most: Most budgets to show; None for all powers of two, and the full budget.
    """
    sections = []
    for data in dict.fromkeys(t.data for t in comparison.tuning.contestants):
        shown = [t for t in comparison.tuning.contestants if t.data == data and t.curve is not None]
        longest = max((len(t.curve.budgets) for t in shown if t.curve is not None), default=0)
        if longest < 2:
            continue
        budgets = budgets_of(longest, most)
        columns: Columns = {"arm": ["arm", *(t.arm for t in shown)]}
        for budget in budgets:
            title = "1 trial" if budget == 1 else f"{budget} trials"
            columns[f"budget {budget}"] = [title, *(at_budget(t, budget) for t in shown)]
        sections.append((curve_title(data, shown, comparison.tuning.coverage), columns))
    return sections


def curve_title(data: str, shown: Sequence[Tuned], coverage: float) -> str:
    """Return the heading of a table of tuning curves; it says why a curve has no band."""
    kinds = dict.fromkeys(t.method for t in shown)
    metric = shown[0].metric.name
    parts = []
    if "random" in kinds:
        parts.append(
            f"median of the best {metric} of so many random trials, with bands that hold together with "
            f"{100 * coverage:.0f}% confidence"
        )
    others = [METHODS.get(kind, kind) for kind in kinds if kind != "random"]
    if others:
        parts.append(
            f"best {metric} so far of {' and '.join(others)}, without a band, since its trials depend on each other"
            if "tpe" in kinds
            else f"best {metric} so far of grid search, without a band, since its trials are not drawn at random"
        )
    return f"tuning curves on {data}: {'; '.join(parts)}"


def budgets_of(longest: int, most: int | None = None) -> list[int]:
    """Return the budgets to show: powers of two, and the full one.

    >>> budgets_of(20), budgets_of(64, most=4)
    ([1, 2, 4, 8, 16, 20], [1, 4, 16, 64])
    """
    budgets = [2**i for i in range(longest.bit_length()) if 2**i < longest]
    budgets.append(longest)
    if most is None or len(budgets) <= most:
        return budgets
    steps = (len(budgets) - 1) / (most - 1)
    return [budgets[round(i * steps)] for i in range(most)]


def at_budget(tuned: Tuned, budget: int) -> str:
    """Return the score at a budget with its band; nothing above the budget of the search."""
    curve = tuned.curve
    if curve is None or budget > len(curve.budgets):
        return ""
    middle = _plain(curve.score[budget - 1], tuned.metric)
    if not len(curve.low):
        return middle
    low, high = (_plain(edge[budget - 1], tuned.metric) for edge in (curve.low, curve.high))
    return f"{middle} [{low}, {high}]"


def _plain(value: float, metric: Metric) -> str:
    """Format a score on validation: a share with three decimals, which is what a few tuning seeds resolve.

    >>> _plain(0.97314, Metric("val/accuracy", True, "difference", share=True))
    '.973'
    >>> _plain(float("-inf"), Metric("val/r2", True, "difference"))
    '-inf'
    """
    if not metric.share:
        return significant(value) if metric.scale == "ratio" else score(value, metric)
    return f"{value:.3f}".removeprefix("0")
