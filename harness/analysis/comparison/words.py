"""Say the answer of a study in words."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.comparison.model import Comparison, Difference, Metric, Table
from harness.analysis.report.numbers import count, interval

MAX_NAMES = 4  # arms that a sentence names
MAX_TABLES = 3  # data sets that have a sentence of their own


def verdict(comparison: Comparison, baseline: str | None) -> list[str]:
    """Return the verdict, the most general statement first.

    Args:
        comparison: The comparison.
        baseline: The arm that was named as the baseline, or None.
    """
    tables = [table for table in (comparison.overall, *comparison.tables) if table is not None]
    lines = [_table(table, comparison, baseline) for table in tables[: MAX_TABLES + 1]]
    hidden = len(tables) - len(lines)
    return [*lines, *([f"and {hidden} more data sets, each with its own table"] if hidden else [])]


def _table(table: Table, comparison: Comparison, baseline: str | None) -> str:
    where = "over data sets" if table.data is None else f"on {table.data}"
    metric, reference = comparison.metric, table.reference
    arms = [arm for arm in table.arms if arm.mean is not None]
    if len(table.arms) == 1:
        return f"{where}: there is one arm ({reference}), and nothing to compare it with."
    if not arms:
        return f"{where}: no run has completed."
    shown = [d for d in table.differences if d.against == reference]
    if not any(d.verdict != "too few" for d in table.differences):
        return _too_few(table, where, comparison.more)
    seeds = f"with {count(table.units, table.unit)}"
    if len(table.arms) == 2:
        return _two(shown[0], metric, where, seeds)
    if baseline is not None:
        return _against(reference, shown, where, seeds)
    worse = [d.arm for d in shown if d.verdict == "worse"]
    others = [d.arm for d in shown if d.verdict != "worse"]
    best = f"has the {'highest' if metric.higher_is_better else 'lowest'} mean"
    if any(d.decided_by == "sign" for d in table.differences):
        best = "has the best mean rank, in which a failed run is last,"
    if not worse:
        return (
            f"{reference} {best} {where}, but 0 of {len(shown)} differences to it are settled {seeds}."
            + _equal(shown)
            + _others(table)
        )
    if not others:
        return f"{reference} is the best {where}: all {len(shown)} differences to it are settled {seeds}."
    near = f"not against {_names(others)}" + _equal(shown)
    return f"{reference} is better than {_names(worse)} {where} (settled {seeds}), {near.rstrip('.')}."


def _too_few(table: Table, where: str, more: str) -> str:
    pairs = max((d.n for d in table.differences), default=0)
    if table.data is None:
        return f"{where}: too few data sets that arms have in common."
    if table.units > 2 and pairs < 3:
        return f"{where}: the arms have {pairs} {table.unit}s in common, and pairs need at least 3: use the same seeds."
    seeds = count(table.units, table.unit)
    add = "" if more else " Add seeds with -m 'seed=range(10)'."
    return f"{where}: {seeds}, and no difference can be settled with fewer than 3.{add}"


def _two(d: Difference, metric: Metric, where: str, seeds: str) -> str:
    name = metric.name
    size = f" ({name} {interval(d.estimate, d.low, d.high, metric)})" if d.estimate is not None else ""
    if d.decided_by == "sign" and d.won is not None:
        size = f" (it wins {d.won:.0%} of the pairs; a run that failed has lost)"
    if d.verdict in ("better", "worse"):
        at = f" at {d.settled_at}" if d.settled_at is not None and d.settled_at < d.n else ""
        return f"{d.arm} is {d.verdict} than {d.against} {where}{size}: settled {seeds}{at}."
    if d.verdict == "equal":
        return f"{d.arm} and {d.against} are equal within the margin {where}{size}: settled {seeds}."
    return f"{d.arm} against {d.against} {where}{size}: not settled {seeds}."


def _against(reference: str, shown: Sequence[Difference], where: str, seeds: str) -> str:
    words = {"equal": "equal within the margin", "too few": "with too few pairs"}
    parts = []
    for verdict in ("better", "worse", "equal", "not settled", "too few"):
        names = [d.arm for d in shown if d.verdict == verdict]
        if names:
            is_are = "is" if len(names) == 1 else "are"
            parts.append(f"{_names(names)} {is_are} {words.get(verdict, verdict)}")
    return f"against {reference} {where}, {seeds}: {', and '.join(parts)}."


def _equal(shown: Sequence[Difference]) -> str:
    names = [d.arm for d in shown if d.verdict == "equal"]
    return f" {_names(names)} {'is' if len(names) == 1 else 'are'} equal to it within the margin." if names else ""


def _others(table: Table) -> str:
    """Return a sentence on settled differences between arms of which none is the best."""
    rest = [d for d in table.differences if d.verdict in ("better", "worse") and d.against != table.reference]
    if not rest:
        return ""
    texts = [f"{d.arm} is {d.verdict} than {d.against}" for d in rest[:MAX_NAMES]]
    more = f", and {len(rest) - MAX_NAMES} more" if len(rest) > MAX_NAMES else ""
    return f" Settled among the others: {'; '.join(texts)}{more}."


def _names(names: Sequence[str]) -> str:
    """Return names in a row; names of several levels have commas themselves.

    >>> _names(["adam", "sgd"]), _names(["adam,relu", "sgd,relu"])
    ('adam and sgd', 'adam,relu and sgd,relu')
    """
    if len(names) > MAX_NAMES:
        names = [*names[: MAX_NAMES - 1], f"{len(names) - MAX_NAMES + 1} more"]
    comma = "; " if any("," in name for name in names) else ", "
    return " and ".join(filter(None, [comma.join(names[:-1]), names[-1]])) if names else ""
