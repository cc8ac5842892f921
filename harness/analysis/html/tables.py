"""The tables of the page: ranking, pairs, effects, failures, and arms over all data sets."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.comparison.model import Arm, Comparison, Difference, Table, Verdict
from harness.analysis.figures.factors import effect_name
from harness.analysis.figures.numbers import NONE, Numbers, fixed, numbers, percent, probability, seconds
from harness.analysis.figures.style import label
from harness.analysis.html.elements import Cell, Column, details, items, name, table, text

SHORT = 200  # most rows of a table that is no ranking
MARKS: dict[Verdict, tuple[str, str]] = {
    "better": ("▲", "better"),
    "worse": ("▼", "worse"),
    "equal": ("■", "equal"),
    "not settled": ("○", "open"),
    "too few": ("×", "open"),
}
_ORDER: tuple[Verdict, ...] = ("better", "equal", "not settled", "too few", "worse")


def rankings(comparison: Comparison, rows: int) -> str:
    """Return the ranking over data sets and on each of them; those of many data sets are closed.

    Args:
        comparison: The comparison.
        rows: Most rows of all tables together.
    """
    tables = [*([comparison.overall] if comparison.overall else []), *comparison.tables]
    most = max(10, rows // max(1, len(tables)))
    parts = []
    for each in tables[: max(1, rows // 10)]:
        shown = max(most, rows // 4) if each.data is None else most
        content = ranking(comparison, each, shown) + pairs(comparison, each, shown // 2)
        is_open = len(tables) <= 3 or each.data is None
        if len(tables) == 1:
            parts.append(content)
        else:
            heading = "Over data sets" if each.data is None else text(each.data)
            parts.append(details(f'{heading} <span class="muted">{_summary(each)}</span>', content, is_open))
    return "".join(parts)


def ranking(comparison: Comparison, of: Table, most: int) -> str:
    """Return the arms of a table, the best first."""
    style = numbers(comparison)
    arms = of.arms[:most]
    groups = _letters(of, [arm.name for arm in arms])
    against = of.reference
    found = {arm.name: of.difference(arm.name) for arm in arms}
    has = {
        "groups": bool(groups),
        "needed": any(d is not None and d.needed is not None for d in found.values()),
        "seconds": any(arm.seconds is not None for arm in arms),
        "parameters": len({arm.parameters for arm in arms if arm.parameters is not None}) > 1,
    }
    columns = [
        Column("", hint="Rank by the mean"),
        Column("arm", "text"),
        Column("runs", hint="Completed runs of all"),
        Column("geometric mean [95%]" if style.ratio else "mean ± 95%", hint="With its 95% interval"),
        Column(f"{'ratio' if style.ratio else 'difference'} to {label(against, 40)}"),
        Column("interval", hint="At the level at which the verdict was decided"),
        Column("won", hint=f"Share of {of.unit}s on which the arm is better; ties count half"),
        Column("p"),
        Column("verdict", "text"),
    ]
    if has["groups"]:
        columns.append(Column("group", "text", "Arms that share a letter are not settled to differ"))
    if has["needed"]:
        margin = NONE if comparison.margin is None else style.margin(comparison.margin)
        columns.append(Column(f"{of.unit}s for {margin}", hint="Number needed to settle the margin"))
    if has["seconds"]:
        columns.append(Column("s/run", hint="Mean seconds of a run"))
    if has["parameters"]:
        columns.append(Column("parameters"))
    rows = []
    for rank, arm in enumerate(arms, 1):
        difference = found[arm.name]
        row = [Cell(str(rank), rank), Cell(name(arm.name), "text", "name", head=True), _runs(arm)]
        row += [_mean(arm, style), *_difference(difference, style, arm.name == against)]
        if has["groups"]:
            row.append(_group(groups, arm.name))
        if has["needed"]:
            needed = difference.needed if difference else None
            row.append(Cell(NONE if needed is None else f"{needed:,}", needed))
        if has["seconds"]:
            row.append(Cell(seconds(arm.seconds), arm.seconds))
        if has["parameters"]:
            row.append(Cell(NONE if arm.parameters is None else f"{arm.parameters:,}", arm.parameters))
        rows.append(row)
    classes = ["reference" if arm.name == against else "" for arm in arms]
    return table(_caption(comparison, of, len(arms)), columns, rows, classes)


def pairs(comparison: Comparison, of: Table, most: int) -> str:
    """Return the differences to other arms than the reference."""
    others = [d for d in of.differences if d.against != of.reference]
    if not others:
        return ""
    style = numbers(comparison)
    word = "ratio" if style.ratio else "difference"
    columns = [
        Column("arm", "text"),
        Column("against", "text"),
        Column(of.unit + "s"),
        Column(word),
        Column("interval"),
    ]
    columns += [Column("won"), Column("p"), Column("verdict", "text")]
    rows = [
        [
            Cell(name(d.arm), "text", "name", head=True),
            Cell(name(d.against), "text", "name text"),
            Cell(str(d.n), d.n),
            *_difference(d, style),
        ]
        for d in others[:most]
    ]
    title = "The other pair" if len(others) == 1 else f"The other {len(others):,} pairs"
    left = f"; {len(others) - most:,} more are left out" if len(others) > most else ""
    return details(title, table(f"{title} of arms{left}", columns, rows))


def effects(comparison: Comparison) -> str:
    """Return the main effects and interactions."""
    if not comparison.effects:
        return ""
    style = numbers(comparison)
    several = len({effect.data for effect in comparison.effects}) > 1
    columns = [Column("data set", "text")] if several else []
    columns += [Column("effect", "text"), Column("factors", "text"), Column("estimate"), Column("interval")]
    columns += [Column("p"), Column("verdict", "text")]
    rows = []
    for effect in comparison.effects[:SHORT]:
        contrast = effect_name(effect, style.ratio)
        settled = effect.verdict == "settled"
        mark = f'<span class="mark" aria-hidden="true">{"■" if settled else "○"}</span>{effect.verdict}'
        row = [Cell(name(effect.data), "text", "name text")] if several else []
        row += [
            Cell(name(contrast), "text", "name", head=True),
            Cell(text(" × ".join(effect.factors)), "text", "name text"),
            Cell(style.difference(effect.estimate), effect.estimate),
            Cell(style.interval(effect.low, effect.high), effect.low),
            Cell(probability(effect.p), effect.p),
            Cell(mark, float(settled), "text equal" if settled else "text open"),
        ]
        rows.append(row)
    caption = "Main effects and interactions, with their intervals; settled by Holm's procedure over the effects"
    return table(caption, columns, rows)


def failures(comparison: Comparison) -> str:
    """Return the runs that did not complete, grouped by arm and reason."""
    if not comparison.failures:
        return ""
    columns = [Column("arm", "text"), Column("data set", "text"), Column("status", "text"), Column("runs")]
    columns += [Column("p", hint="Fisher's test against the arm that completes most often"), Column("why", "wide")]
    rows = []
    for failure in comparison.failures[:SHORT]:
        why = f'<span class="why">{text(label(failure.why, 500))}</span>'
        if failure.findings:
            why += items((text(label(each, 500)) for each in failure.findings[:10]), "findings")
        rows.append(
            [
                Cell(name(failure.arm), "text", "name", head=True),
                Cell(name(failure.data), "text", "name text"),
                Cell(text(failure.status), "text", "text"),
                Cell(f"{failure.runs} of {failure.of}", failure.runs / max(1, failure.of)),
                Cell(probability(failure.p), failure.p),
                Cell(why, "text", "wide"),
            ]
        )
    return table("Runs that did not complete, by arm and reason", columns, rows)


def aggregates(comparison: Comparison) -> str:
    """Return the arms over all data sets."""
    arms = comparison.aggregates
    if not arms:
        return ""
    best = arms[0].arm
    columns = [Column("arm", "text"), Column("interquartile mean"), Column("95% interval"), Column("mean rank")]
    columns.append(Column(f"probability to beat {label(best, 40)}"))
    rows = []
    for arm in arms[:SHORT]:
        beats = arm.improvement.get(best)
        rows.append(
            [
                Cell(name(arm.arm), "text", "name", head=True),
                Cell(fixed(arm.iqm, 3, bare=True), arm.iqm),
                Cell(f"[{fixed(arm.low, 3, bare=True)}, {fixed(arm.high, 3, bare=True)}]", arm.low),
                Cell(fixed(arm.rank, 2), arm.rank),
                Cell(percent(beats), beats),
            ]
        )
    return table("Normalised scores over all data sets, each with weight 1", columns, rows)


def to_references(tables: Sequence[Table]) -> list[Difference]:
    """Return the differences to the references of tables."""
    found = (of.difference(arm.name) for of in tables for arm in of.arms)
    return [difference for difference in found if difference is not None]


def _caption(comparison: Comparison, of: Table, shown: int) -> str:
    size = f" on {of.test_size:,} test samples" if of.test_size is not None else ""
    parts = [
        f"<b>{text(comparison.metric.name)}</b>{size}, {text(of.scope)}; {of.units} {text(of.unit)}{_s(of.units)}."
    ]
    if of.chance is not None:
        parts.append(f"Chance: {text(of.chance.text)}.")
    sizes = {arm.parameters for arm in of.arms if arm.parameters is not None}
    if len(sizes) == 1:
        parts.append(f"{sizes.pop():,} parameters each.")
    if len(of.arms) > shown:
        parts.append(f"The best {shown:,} of {len(of.arms):,} arms; <code>harness report --csv</code> has all.")
    return " ".join(parts)


def _summary(of: Table) -> str:
    """Return the best arm of a table, and how many arms are settled to be worse."""
    if not of.arms or of.arms[0].mean is None:
        return "no completed run"
    verdicts = [d.verdict for arm in of.arms if (d := of.difference(arm.name)) is not None]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in _ORDER if verdict in verdicts]
    return f"best mean {name(of.arms[0].name)}; against {name(of.reference)}: {', '.join(counts) or 'nothing compared'}"


def _runs(arm: Arm) -> Cell:
    kind = "worse" if arm.completed < arm.runs else ""
    return Cell(f"{arm.completed}/{arm.runs}", arm.completed / max(1, arm.runs), kind)


def _mean(arm: Arm, style: Numbers) -> Cell:
    shown = style.value(arm.mean)
    if arm.mean is not None and arm.low is not None and arm.high is not None:
        if style.ratio:
            shown += f' <span class="muted">[{style.value(arm.low)}, {style.value(arm.high)}]</span>'
        else:
            shown += f' <span class="muted">± {style.value((arm.high - arm.low) / 2)}</span>'
    return Cell(shown, arm.mean)


def _difference(d: Difference | None, style: Numbers, is_reference: bool = False) -> list[Cell]:
    """Return estimate, interval, share won, p-value and verdict."""
    if d is None:
        said = '<span class="muted">baseline</span>' if is_reference else NONE
        return [
            Cell(said, (1.0 if style.ratio else 0.0) if is_reference else None),
            *[Cell("")] * 3,
            Cell("", kind="text"),
        ]
    mark, kind = MARKS[d.verdict]
    by_sign = ' <span class="muted">(by wins)</span>' if d.decided_by == "sign" else ""
    verdict = f'<span class="mark" aria-hidden="true">{mark}</span>{d.verdict}{by_sign}'
    coverage = f' title="coverage {percent_exact(d.coverage)}"' if d.coverage is not None else ""
    interval = f"<span{coverage}>{style.interval(d.low, d.high)}</span>"
    return [
        Cell(style.difference(d.estimate), d.estimate),
        Cell(interval, d.low),
        Cell(percent(d.won), d.won),
        Cell(probability(d.p), d.p),
        Cell(verdict, float(_ORDER.index(d.verdict)), f"text {kind}"),
    ]


def percent_exact(share: float) -> str:
    """Format the coverage of an interval.

    >>> percent_exact(0.9904), percent_exact(0.95)
    ('99.04%', '95%')
    """
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _letters(of: Table, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the letters of the groups of each arm; nothing where letters would not help."""
    groups = [group for group in of.groups if set(group) & set(names)]
    if not 0 < len(groups) <= 12:
        return {}
    return {name: ["ABCDEFGHIJKL"[i] if name in group else "" for i, group in enumerate(groups)] for name in names}


def _group(groups: dict[str, list[str]], name: str) -> Cell:
    letters = groups[name]
    shown = "".join(f'<span class="group">{letter}</span>' for letter in letters if letter or len(letters) < 5)
    return Cell(shown, "text", "text")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
