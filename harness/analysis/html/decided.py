"""How the verdicts were decided, in plain English with the numbers of the study."""

from __future__ import annotations

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.numbers import NONE, numbers, probability
from harness.analysis.html.elements import items, text
from harness.analysis.html.tables import to_references
from harness.analysis.report.numbers import ordinal

_SCOPES = {
    "on this split": "new seeds on the same split of the data",
    "on these splits": "new seeds on the same splits of the data",
    "over new data of this kind": "new data of the same kind (the t test of Nadeau and Bengio)",
    "over splits of this data set": "new splits and seeds of the same data set, not other data sets",
    "over data sets": "data sets like these",
}


def how_decided(comparison: Comparison) -> str:
    """Return the steps of the decision as a list."""
    steps = [_pairs(comparison), _estimate(comparison), _looks(comparison), _family(comparison), _equal(comparison)]
    steps += [_floor(comparison), _completion(comparison), _data_sets(comparison), _scope(comparison)]
    return f'<div class="prose">{items(step for step in steps if step)}</div>'


def _pairs(comparison: Comparison) -> str:
    shared = " and ".join(f"<code>{text(key)}</code>" for key in comparison.varied) or "nothing but chance"
    table = comparison.tables[0] if comparison.tables else None
    if table is None:
        return ""
    return (
        f"<b>Pairs.</b> Two arms are compared on runs that share {shared}. Most of the noise is common to both runs of "
        f"a pair, and cancels in their difference. There are up to {table.units} pairs for a comparison on a data set."
    )


def _estimate(comparison: Comparison) -> str:
    if comparison.metric.scale == "ratio":
        return (
            "<b>Estimate.</b> The geometric mean of the paired ratios; ×1.10 means 10% more. Its interval is a t "
            "interval of the logarithms."
        )
    return "<b>Estimate.</b> The mean of the paired differences, with a t interval: mean ± t·s/√n. It needs 3 pairs."


def _looks(comparison: Comparison) -> str:
    look = comparison.look
    level, spent = probability(look.level), probability(look.spent)
    place = f"the {ordinal(look.number)} look, at {look.n} of {look.planned} planned"
    spends = f"This is {place}; it spends {level} of the error rate"
    if not look.new:
        spends = f"This is {place}, and these data were looked at before, so it spends no further error rate"
    rest = ""
    if look.n < look.planned:
        rest = " The rest is kept for later looks, so the verdicts stay valid when you add seeds."
    return f"<b>Looks.</b> {spends}; {spent} of .05 is spent so far.{rest}"


def _family(comparison: Comparison) -> str:
    family = comparison.look.family
    if family < 2:
        return ""
    return (
        f"<b>Several arms.</b> Holm's correction covers all {family:,} comparisons: the chance of any false “better” "
        f"or “worse” among them is at most .05 over all looks."
    )


def _equal(comparison: Comparison) -> str:
    if comparison.margin is None:
        return (
            "<b>Equal.</b> No margin was given, so no arms are called equal. “Not settled” means that this study "
            "cannot tell, not that there is no difference. <code>--margin</code> states the largest difference that "
            "does not matter to you."
        )
    margin = numbers(comparison).margin(comparison.margin)
    return (
        f"<b>Equal.</b> “Equal” means that two one-sided tests place the difference within {margin}, the stated margin."
    )


def _floor(comparison: Comparison) -> str:
    sizes = numbers(comparison).floors(to_references([comparison.overall] if comparison.overall else comparison.tables))
    if sizes == NONE:
        return ""
    return f"<b>Floor.</b> With this many pairs, the design settles a difference of {sizes} in 8 of 10 studies."


def _completion(comparison: Comparison) -> str:
    tables = [*comparison.tables, *([comparison.overall] if comparison.overall else [])]
    if not any(d.decided_by == "sign" for table in tables for d in table.differences):
        return ""
    return (
        "<b>Failed runs.</b> Where runs failed, the share of pairs won decides (sign test; a failed run loses its "
        "pair), and the mean difference of the completed pairs only describes. Leaving failures out would favour arms "
        "that fail. Fisher's test compares how often arms complete."
    )


def _data_sets(comparison: Comparison) -> str:
    if len(comparison.tables) < 2:
        return ""
    if comparison.overall is None:
        return "<b>Data sets.</b> A verdict over data sets needs at least 4; each data set stands for itself here."
    return (
        f"<b>Data sets.</b> The verdict over {comparison.overall.units} data sets uses one mean difference for each, "
        f"with weight 1 whatever its number of runs. Pooling all runs would call chance a difference."
    )


def _scope(comparison: Comparison) -> str:
    scope = (comparison.overall or comparison.tables[0]).scope if comparison.tables else ""
    meaning = _SCOPES.get(scope)
    return f"<b>Scope.</b> The verdicts hold {text(scope)}: they speak about {meaning}." if meaning else ""
