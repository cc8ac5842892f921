"""Say the answer of a study in words."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.comparison.model import Comparison, Difference, Metric, Table

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
    count = f"with {table.units} {table.unit}{'s' if table.units != 1 else ''}"
    if len(table.arms) == 2:
        return _two(shown[0], metric, where, count)
    if baseline is not None:
        return _against(reference, shown, where, count, metric)
    worse = [d.arm for d in shown if d.verdict == "worse"]
    others = [d.arm for d in shown if d.verdict != "worse"]
    best = f"has the {'highest' if metric.higher_is_better else 'lowest'} mean"
    if any(d.decided_by == "sign" for d in table.differences):
        best = "has the best mean rank, in which a failed run is last,"
    if not worse:
        return (
            f"{reference} {best} {where}, but 0 of {len(shown)} differences to it are settled {count}."
            + _equal(shown)
            + _others(table)
        )
    if not others:
        return f"{reference} is the best {where}: all {len(shown)} differences to it are settled {count}."
    near = f"not against {_names(others)}" + _equal(shown)
    return f"{reference} is better than {_names(worse)} {where} (settled {count}), {near.rstrip('.')}."


def _too_few(table: Table, where: str, more: str) -> str:
    pairs = max((d.n for d in table.differences), default=0)
    if table.data is None:
        return f"{where}: too few data sets that arms have in common."
    if table.units > 2 and pairs < 3:
        return f"{where}: the arms have {pairs} {table.unit}s in common, and pairs need at least 3: use the same seeds."
    seeds = f"{table.units} {table.unit}{'s' if table.units != 1 else ''}"
    add = f" Add seeds: {more}" if more else " Add seeds with -m 'seed=range(10)'."
    return f"{where}: {seeds}, and no difference can be settled with fewer than 3.{add}"


def _two(d: Difference, metric: Metric, where: str, count: str) -> str:
    name = metric.name
    size = f" ({name} {effect(d, metric)})" if d.estimate is not None else ""
    if d.decided_by == "sign" and d.won is not None:
        size = f" (it wins {d.won:.0%} of the pairs; a run that failed has lost)"
    if d.verdict in ("better", "worse"):
        at = f" at {d.settled_at}" if d.settled_at is not None and d.settled_at < d.n else ""
        return f"{d.arm} is {d.verdict} than {d.against} {where}{size}: settled {count}{at}."
    if d.verdict == "equal":
        return f"{d.arm} and {d.against} are equal within the margin {where}{size}: settled {count}."
    return f"{d.arm} against {d.against} {where}{size}: not settled {count}."


def _against(reference: str, shown: Sequence[Difference], where: str, count: str, metric: Metric) -> str:
    parts = []
    for verdict in ("better", "worse", "equal", "not settled", "too few"):
        names = [d.arm for d in shown if d.verdict == verdict]
        if names:
            word = {"equal": "equal within the margin", "too few": "with too few pairs"}.get(verdict, verdict)
            parts.append(f"{word} {_names(names)}")
    return f"against {reference} {where} {count}: {'; '.join(parts)}."


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
    if len(names) <= MAX_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: MAX_NAMES - 1])} and {len(names) - MAX_NAMES + 1} more"


def effect(d: Difference, metric: Metric) -> str:
    """Return a difference with its interval as text: "+.0125 [-.0031, +.0281]", or "x0.93 [0.89, 0.97]" for a ratio."""
    if d.estimate is None:
        return ""
    numbers = [d.estimate] if d.low is None or d.high is None else [d.estimate, d.low, d.high]
    texts = [number(x, metric) for x in numbers]
    return texts[0] + (f" [{texts[1]}, {texts[2]}]" if len(texts) > 1 else "")


def number(x: float, metric: Metric) -> str:
    """Return a difference or a ratio as text.

    >>> number(-0.00281, Metric("test/accuracy", True, "difference", True))
    '-.0028'
    >>> number(0.934, Metric("test/loss", False, "ratio"))
    'x0.934'
    """
    if metric.scale == "ratio":
        return f"x{x:.3g}" if x < 10 else f"x{x:.4g}"
    if metric.share or abs(x) < 1:
        return f"{x:+.4f}".replace("0.", ".", 1) if abs(x) < 1 else f"{x:+.4f}"
    return f"{x:+.4g}"
