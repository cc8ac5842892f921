"""The report of a comparison as one page: its sections, in the order in which they are read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from matplotlib.figure import Figure

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.files import inline_svg
from harness.analysis.figures.numbers import NONE, numbers, percent, probability
from harness.analysis.figures.registry import FIGURES, draw
from harness.analysis.html import tables
from harness.analysis.html.decided import how_decided
from harness.analysis.html.elements import block, details, items, paragraph, section, text
from harness.analysis.html.tuning import tuning
from harness.analysis.report.numbers import ordinal

LIMIT = 2_000_000  # bytes of the page
_ROWS = (1000, 300, 100)  # most rows of the rankings: the first number with which the page is small enough


def page(comparison: Comparison) -> str:
    """Return the report of a comparison as a page that needs no other file and no network.

    Args:
        comparison: The comparison.

    Returns:
        HTML of less than 2 MB. Names and messages of the comparison are escaped.
    """
    script, style = _resource("sort.js"), _resource("report.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    figures = {name: figure for name in FIGURES if (figure := draw(name, comparison)) is not None}
    drawings = {name: _drawing(name, figure, comparison) for name, figure in figures.items()}
    template = Template(_resource("report.html"))
    title = f"{text(comparison.study)}: {text(comparison.metric.name)}"
    for rows in _ROWS:
        whole = template.substitute(
            policy=policy, title=title, style=style, script=script, body=_body(comparison, drawings, rows)
        )
        if len(whole.encode()) < LIMIT:
            break
    return whole


def _body(comparison: Comparison, drawings: Mapping[str, str], rows: int) -> str:
    def shown(*names: str) -> str:
        return "".join(_figure(name, drawings[name], len(names) > 1) for name in names if name in drawings)

    sections = {
        "ranking": ("Ranking", tables.rankings(comparison, rows)),
        "differences": ("Differences", shown("forest", "heatmap")),
        "over": ("Over all data sets", tables.aggregates(comparison) + shown("profiles", "critical_difference")),
        "factors": ("Factors", tables.effects(comparison) + shown("effects", "interactions")),
        "settings": ("Settings", shown("sensitivity")),
        "tuning": ("Tuning", tuning(comparison, shown("tuning"))),
        "training": ("Training and cost", shown("curves", "cost")),
        "completion": ("Completion", _completion(comparison) + shown("completion")),
        "variance": ("Variance", _variance(comparison) + shown("variance")),
        "decided": ("How it was decided", how_decided(comparison)),
        "repeat": ("How to repeat it", _repeat(comparison)),
    }
    links = items(f'<a href="#{name}">{text(heading)}</a>' for name, (heading, each) in sections.items() if each)
    return (
        f"<header><h1><b>{text(comparison.study)}</b> · {text(comparison.metric.name)}</h1>\n"
        f'<div class="verdict" id="verdict">{"".join(f"<p>{text(line)}</p>" for line in comparison.verdict)}</div>\n'
        f"{_notes(comparison)}{_facts(comparison)}"
        f'<nav aria-label="Sections">{links}</nav></header>\n<main>\n'
        + "".join(section(name, heading, each) for name, (heading, each) in sections.items())
        + "</main>\n<footer>Made by harness. This page needs no network: it can be kept and sent.</footer>"
    )


def _notes(comparison: Comparison) -> str:
    if not comparison.notes:
        return ""
    return f'<div class="notes" role="note">{"".join(f"<p>{text(note)}</p>" for note in comparison.notes)}</div>\n'


def _facts(comparison: Comparison) -> str:
    """Return scope, units, look, margin, floor, chance level and runs."""
    style, look = numbers(comparison), comparison.look
    tables_shown = [comparison.overall] if comparison.overall else comparison.tables
    first = tables_shown[0] if tables_shown else None
    direction = "higher is better" if comparison.metric.higher_is_better else "lower is better"
    size = first.test_size if first is not None else None
    facts = [("Metric", text(comparison.metric.name), f"{direction}{f'; {size:,} test samples' if size else ''}")]
    if first is not None:
        name = text(first.data) if first.data is not None else f"{first.units} data sets"
        names = name if len(tables_shown) == 1 else f"{len(tables_shown)} data sets"
        facts.append(("Scope", names, text(first.scope)))
        noun = comparison.tables[0].unit if comparison.tables else first.unit
        facts.append(("Look", f"{look.n} of {look.planned} planned {text(noun)}s", _look(comparison)))
    if comparison.margin is None:
        facts.append(("Margin", "none", "without one, nothing is called equal"))
    else:
        facts.append(("Margin", style.margin(comparison.margin), "smaller differences do not matter"))
    if (floors := style.floors(tables.to_references(tables_shown))) != NONE:
        facts.append(("Floor", floors, "smallest difference that this design settles"))
    chances = [(each.data, each.chance) for each in comparison.tables if each.chance is not None]
    if len(chances) == 1:
        facts.append(("Chance level", style.value(chances[0][1].value), text(chances[0][1].text)))
    elif chances:
        values = [chance.value for _, chance in chances]
        both = dict.fromkeys(style.value(value) for value in (min(values), max(values)))
        facts.append(("Chance level", " to ".join(both), "see the tables"))
    completed = sum(arm.completed for each in comparison.tables for arm in each.arms)
    arms = len({arm.name for each in comparison.tables for arm in each.arms})
    noun = "arm" if arms == 1 else "arms"
    facts.append(("Runs", f"{completed:,} of {comparison.runs:,} completed", f"{arms:,} {noun}"))
    entries = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in facts)
    return f'<dl class="facts">{entries}</dl>\n'


def _look(comparison: Comparison) -> str:
    look = comparison.look
    holm = f"; Holm over {look.family:,}" if look.family > 1 else ""
    return f"{ordinal(look.number)} look, {probability(look.spent)} of .05 spent{holm}"


def _drawing(name: str, figure: Figure, comparison: Comparison) -> str:
    """Return a figure as an SVG element with an alternative text."""
    plot = FIGURES[name]
    alt = text(f"{plot.title}, {comparison.metric.name}. {plot.caption}")
    wide = ' class="full"' if figure.get_figwidth() > 5 else ""
    return inline_svg(figure, name).replace("<svg ", f'<svg role="img" aria-label="{alt}"{wide} ', 1)


def _figure(name: str, drawing: str, titled: bool) -> str:
    plot = FIGURES[name]
    heading = f"<h3>{text(plot.title)}</h3>" if titled else ""
    return (
        f'<figure id="figure-{name}">{heading}<div class="drawing">{drawing}</div>'
        f"<figcaption>{text(plot.caption)}</figcaption></figure>\n"
    )


def _completion(comparison: Comparison) -> str:
    arms = [arm for each in comparison.tables for arm in each.arms]
    completed, runs = sum(arm.completed for arm in arms), sum(arm.runs for arm in arms)
    if not comparison.failures:
        missing = "" if completed == runs else f", {runs - completed:,} did not"
        return paragraph(f"{completed:,} of {runs:,} runs completed{missing}.")
    return paragraph(f"{completed:,} of {runs:,} runs completed.") + tables.failures(comparison)


def _variance(comparison: Comparison) -> str:
    lines = []
    for each in [*([comparison.overall] if comparison.overall else []), *comparison.tables]:
        if each.variance:
            shares = ", ".join(f"{text(source)} {percent(share)}" for source, share in each.variance.items())
            lines.append(f"{'over data sets' if each.data is None else text(each.data)}: {shares}")
    if not lines:
        return ""
    return paragraph(f"{lines[0]}.") if len(lines) == 1 else details("Shares in numbers", items(lines))


def _repeat(comparison: Comparison) -> str:
    parts = [paragraph("The command that trained the study:"), f"<pre>{block(comparison.command or NONE)}</pre>"]
    if comparison.more:
        parts += [
            paragraph("To add seeds (the verdicts stay valid; completed runs are not trained again):"),
            f"<pre>{block(comparison.more)}</pre>",
        ]
    if comparison.environment:
        known = {key: _in_words(value) for key, value in comparison.environment.items() if value}
        entries = "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>" for key, value in known.items())
        parts.append(f'<h3>Environment</h3><dl class="environment">{entries}</dl>')
    return "".join(parts)


def _in_words(value: Any) -> str:
    """Return a value of the environment as a text.

    >>> _in_words({"a": "1.0", "b": "2.0"}), _in_words("cpu")
    ('a 1.0, b 2.0', 'cpu')
    """
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def _resource(name: str) -> str:
    return (resources.files("harness.analysis.html") / name).read_text(encoding="utf-8")
