"""The ranked table of a comparison as columns of text, and the facts below it, for every text format."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.comparison.model import Arm, Comparison, Difference, Effect, Metric, Table
from harness.analysis.report import numbers

Columns = dict[str, list[str]]  # {key: the title of a column and its cells}

NUMERIC = (
    "rank",
    "runs",
    "failed",
    "steps",
    "mean",
    "won",
    "needed",
    "seconds",
)  # keys of columns that are aligned to the right
MANY = 30  # arms; above, a table on the terminal shows the first ones
SHOWN = 20
_WORDS = ("", "one", "both", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def ranking(table: Table, metric: Metric, margin: float | None = None, limit: bool = False) -> Columns:
    """Return the columns of a ranked table; a column without content is left out.

    Args:
        table: The comparison on one data set, or over all.
        metric: The metric compared.
        margin: The margin of equality, or None.
        limit: True to show the first arms and the reference, if there are very many.
    """
    places = {arm.name: index + 1 for index, arm in enumerate(table.arms) if arm.completed}
    arms = shown_arms(table, limit)
    decided = to_reference(table)
    versus = [decided.get(arm.name) for arm in arms]
    known = any(d is not None and d.estimate is not None for d in versus)
    changes = [_change(arm, d, table, metric) for arm, d in zip(arms, versus, strict=True)]
    columns: Columns = {
        "rank": ["", *(str(places.get(arm.name, "")) for arm in arms)],
        "arm": ["arm", *(arm.name for arm in arms)],
        "runs": ["runs", *(f"{arm.completed}/{arm.runs}" for arm in arms)],
        "mean": ["mean", *(numbers.score(arm.mean, metric) for arm in arms)],
        "interval": ["95% of the mean", *(numbers.mean_interval(arm.low, arm.high, metric) for arm in arms)],
        "against": [f"against {table.reference}", *changes],
        "won": ["won", *("" if d is None else numbers.percent(d.won) for d in versus)],
        "verdict": ["verdict", *("" if d is None else _verdict(d) for d in versus)],
        "seconds": ["s/run", *(numbers.seconds(arm.seconds) for arm in arms)],
    }
    if margin is not None:
        title = f"{table.unit}s for {numbers.margin(margin, metric)}"
        needed = [title, *("" if d is None or d.needed is None else f"{d.needed:,}" for d in versus)]
        columns = _inserted(columns, "seconds", "needed", needed)
    columns.pop("interval" if len(table.arms) > 1 else "against")
    if not known:
        columns = {key: column for key, column in columns.items() if key not in ("against", "won")}
    return {key: column for key, column in columns.items() if key == "rank" or any(column[1:])}


def to_reference(table: Table) -> dict[str, Difference]:
    """Return the difference of each arm to the reference, by its name."""
    return {d.arm: d for d in table.differences if d.against == table.reference}


def shown_arms(table: Table, limit: bool) -> list[Arm]:
    """Return the arms that a table shows."""
    if not limit or len(table.arms) <= MANY:
        return list(table.arms)
    return [arm for index, arm in enumerate(table.arms) if index < SHOWN or arm.name == table.reference]


def _inserted(columns: Columns, before: str, key: str, column: list[str]) -> Columns:
    ordered: Columns = {}
    for name, known in columns.items():
        ordered |= {key: column, name: known} if name == before else {name: known}
    return ordered


def _change(arm: Arm, d: Difference | None, table: Table, metric: Metric) -> str:
    if arm.name == table.reference:
        return "baseline"
    return "" if d is None else numbers.interval(d.estimate, d.low, d.high, metric)


def _verdict(d: Difference) -> str:
    earlier = f" at {d.settled_at}" if d.settled_at is not None and d.settled_at < d.n else ""
    by_wins = ", by wins" if d.decided_by == "sign" and d.verdict != "too few" else ""
    return f"{d.verdict}{earlier}{by_wins}"


def facts(table: Table, metric: Metric) -> dict[str, str]:
    """Return what is said below a table: groups, floor, shares of the variance, chance level, and legends."""
    versus = list(to_reference(table).values())
    explained = {
        "groups": _groups(table),
        "floor": numbers.floors(versus, metric),
        "variance": ", ".join(f"{source} {numbers.percent(share)}" for source, share in table.variance.items()),
        "chance": "" if table.chance is None else table.chance.text,
    }
    if any(d.decided_by == "sign" and d.verdict != "too few" for d in versus):
        explained["by wins"] = f"runs failed, so the share of {table.unit}s won decides (sign test), not the mean"
    if any(d.settled_at is not None and d.settled_at < d.n for d in versus):
        explained["at N"] = f"settled by an earlier look, with N {table.unit}s"
    return {label: text for label, text in explained.items() if text}


def _groups(table: Table) -> str:
    """Return the groups by the ranks of their arms, for example "{1 2} {2 3}"."""
    ranked = [arm.name for arm in table.arms if arm.completed]
    if all(d.verdict == "too few" for d in table.differences):
        return ""
    if len(table.groups) == 1 and set(table.groups[0]) == set(ranked):
        n = len(ranked)
        return f"{{{_WORDS[n] if n == 2 else f'all {_WORDS[n] if n < len(_WORDS) else n}'}}}"
    places = {name: index + 1 for index, name in enumerate(ranked)}
    groups = [sorted(places[name] for name in group if name in places) for group in table.groups]
    return " ".join(f"{{{' '.join(_runs(group))}}}" for group in groups if group)


def _runs(places: Sequence[int]) -> list[str]:
    """Return ascending numbers with three or more in a row as a range.

    >>> _runs([1, 2, 3, 4, 7, 8])
    ['1-4', '7', '8']
    """
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    words = [[f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(place) for place in run] for run in runs]
    return [word for part in words for word in part]


def metric_text(comparison: Comparison, table: Table | None = None) -> str:
    """Return the metric, with the samples that it was measured on and the scope of a table."""
    metric = comparison.metric
    ways = [] if metric.higher_is_better else ["lower is better"]
    if metric.scale == "ratio":
        ways.append("geometric means and their ratios")
    text = metric.name + (f" ({'; '.join(ways)})" if ways else "")
    if table is None:
        return text
    samples = samples_text(table, metric)
    return f"{text}{f' on {samples}' if samples else ''}, {table.scope}"


def samples_text(table: Table, metric: Metric) -> str:
    """Return the number of samples that the metric was measured on, or "" if it is unknown or differs."""
    split = {"test": "test ", "val": "validation ", "train": "training "}.get(metric.name.partition("/")[0], "")
    return "" if table.test_size is None else f"{table.test_size:,} {split}samples"


def look_text(comparison: Comparison) -> str:
    """Return the number of this look at the data, and the error rate that it spends; without a comparison only n."""
    look = comparison.look
    if not any(table.differences for table in tables_of(comparison)):
        return numbers.count(look.n, comparison.tables[0].unit) if comparison.tables else ""
    unit = comparison.tables[0].unit if comparison.tables else "seed"
    details = [
        f"level {numbers.probability(look.level)}"
        if look.level
        else f"no more {unit}s than before, which settles nothing"
    ]
    if look.number > 1:
        details.append(f"{numbers.probability(look.spent)} spent")
    if look.family > 1:
        details.append(f"Holm over {look.family}")
    units = f"{look.n} of {numbers.count(look.planned, f'planned {unit}')}"
    return f"{units}, {numbers.ordinal(look.number)} look ({', '.join(details)})"


def table_title(table: Table, metric: Metric) -> str:
    """Return the heading of a table among several."""
    if table.data is None:
        return f"over {numbers.count(table.units, 'data set')}, each with weight 1"
    parts = [samples_text(table, metric), table.scope, numbers.count(table.units, table.unit)]
    return f"{table.data}: {', '.join(part for part in parts if part)}"


def tables_of(comparison: Comparison) -> list[Table]:
    """Return the tables of the data sets, then the one over all of them."""
    return [*comparison.tables, *([comparison.overall] if comparison.overall is not None else [])]


def effect_sections(comparison: Comparison) -> list[tuple[str, list[Effect]]]:
    """Return (title, effects) for each data set and set of factors: the interactions first, then main effects.

    A main effect is left out where an interaction with its factor is settled: then it depends on the other factor.
    """
    effects = comparison.effects
    depends = {(e.data, f) for e in effects if len(e.factors) > 1 and e.verdict == "settled" for f in e.factors}
    shown = [e for e in effects if len(e.factors) > 1 or (e.data, e.factors[0]) not in depends]
    keys = dict.fromkeys((e.data, e.factors) for e in sorted(shown, key=lambda e: -len(e.factors)))
    sections = []
    for data, factors in keys:
        kind = f"interaction of {' and '.join(factors)}" if len(factors) > 1 else f"effect of {factors[0]}"
        section = [e for e in shown if (e.data, e.factors) == (data, factors)]
        sections.append((f"{kind} on {data}", sorted(section, key=lambda e: (e.verdict != "settled", e.p))))
    return sections


def effect_columns(effects: Sequence[Effect], metric: Metric) -> Columns:
    """Return the columns of a table of effects."""
    minus, title = (" / ", "ratio") if metric.scale == "ratio" else (" - ", "difference")
    estimates = [numbers.interval(e.estimate, e.low, e.high, metric) for e in effects]
    return {
        "contrast": ["contrast", *(_contrast(effect, minus) for effect in effects)],
        "difference": [title, *estimates],
        "verdict": ["verdict", *(effect.verdict for effect in effects)],
    }


def _contrast(effect: Effect, minus: str) -> str:
    """Return a contrast in words.

    >>> _contrast(Effect("digits", ("a", "b"), ("tanh", "relu", "he", "lecun"), 5, 0.1, 0, 0.2, 0.1, "settled"), " - ")
    'tanh - relu, with he - with lecun'
    """
    first, second = effect.levels[:2], effect.levels[2:]
    return minus.join(first) + (f", {minus.join(f'with {level}' for level in second)}" if second else "")


def aggregate_columns(comparison: Comparison) -> Columns:
    """Return the columns of a table of arms over all data sets."""
    ranked = sorted(comparison.aggregates, key=lambda a: a.rank)
    iqm = [f"{a.iqm:.3f} [{a.low:.3f}, {a.high:.3f}]" for a in ranked]
    return {
        "arm": ["arm", *(a.arm for a in ranked)],
        "mean": ["mean rank", *(f"{a.rank:.2f}" for a in ranked)],
        "iqm": ["interquartile mean of normalised scores", *iqm],
    }


def failure_columns(comparison: Comparison) -> Columns:
    """Return the columns of a table of the runs that did not complete."""
    failures = comparison.failures
    columns = {
        "arm": ["arm", *(f.arm for f in failures)],
        "data": ["data", *(f.data for f in failures)],
        "status": ["status", *(f.status for f in failures)],
        "runs": ["runs", *(f"{f.runs}/{f.of}" for f in failures)],
        "p": ["p", *(numbers.probability(f.p) for f in failures)],
        "why": ["reason", *(f.why for f in failures)],
    }
    if len(comparison.tables) < 2:
        columns.pop("data")
    return {key: column for key, column in columns.items() if any(column[1:])}
