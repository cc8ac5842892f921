"""A comparison as tables for a document: Markdown, LaTeX, and HTML for a notebook. Names are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape as html

from harness.analysis.comparison.model import Comparison, Table
from harness.analysis.report.ranking import (
    NUMERIC,
    Columns,
    aggregate_columns,
    effect_columns,
    effect_sections,
    facts,
    failure_columns,
    look_text,
    metric_text,
    ranking,
    table_title,
    tables_of,
)
from harness.analysis.report.tuning import curve_sections, tuning_columns, tuning_lines, tuning_title
from harness.system.escape import markdown, printable

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "\0": "{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
}  # fmt: skip
_LIGATURE = re.compile(r"(?<=-)(?=-)|(?<=,)(?=,)")  # between characters that LaTeX joins: -- is a dash, ,, a quote
_READ_ON = ("[", "*")  # what LaTeX takes for an argument of the line break or the rule before it
_LATIN = 0x17F  # the last character that pdfLaTeX has with the fonts of T1, but for a few
_SIGNED = re.compile(r"(?<![\w.])[-+][\d.]+(?:e[-+]\d+)?")
_TIMES = re.compile(r"^x(?=\d)")
_NUMBERS = ("mean", "interval", "against", "iqm", "difference")  # keys of columns whose cells are numbers


def to_markdown(comparison: Comparison) -> str:
    """Return a comparison as Markdown: the verdict, and a table for each data set."""
    tables = tables_of(comparison)
    context = metric_text(comparison, tables[0] if len(tables) == 1 else None)
    blocks = ["\n".join(f"**{markdown(line)}**  " for line in comparison.verdict).rstrip()]
    blocks.append(markdown(f"{context}; {look_text(comparison)}"))
    for table in tables:
        if len(tables) > 1:
            blocks.append(f"### {markdown(table_title(table, comparison.metric))}")
        blocks.append(_markdown_table(ranking(table, comparison.metric, comparison.margin)))
        blocks.append(_markdown_list(facts(table, comparison.metric).items()))
    for title, columns in _sections(comparison):
        blocks += [f"### {markdown(title)}", _markdown_table(columns)]
    blocks.append(_markdown_list(("tuning", line) for line in tuning_lines(comparison)))
    blocks.append(_markdown_list(("note", note) for note in comparison.notes))
    return "\n\n".join(block for block in blocks if block)


def _sections(comparison: Comparison) -> Iterable[tuple[str, Columns]]:
    """Yield (title, columns) of the tables behind those of the data sets."""
    if comparison.aggregates:
        yield "Ranks over data sets", aggregate_columns(comparison)
    if comparison.failures:
        yield "Runs that did not complete", failure_columns(comparison)
    for title, effects in effect_sections(comparison):
        yield _capital(title), effect_columns(effects, comparison.metric)
    if comparison.tuning.contestants:
        yield _capital(tuning_title(comparison)), tuning_columns(comparison)
    for title, columns in curve_sections(comparison):
        yield _capital(title), columns


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _markdown_table(columns: Columns) -> str:
    rule = ["---:" if key in NUMERIC else "---" for key in columns]
    header, *rows = ([markdown(cell) for cell in row] for row in zip(*columns.values(), strict=True))
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _markdown_list(items: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {label}: {markdown(text)}" for label, text in items)


def to_latex(comparison: Comparison) -> str:
    """Return a comparison as LaTeX tables for the package booktabs, with what a caption has to say."""
    tables = tables_of(comparison)
    verdict = " ".join(comparison.verdict)
    texts = ["% needs \\usepackage[T1]{fontenc}, \\usepackage{booktabs} and \\usepackage{textcomp}"]
    for index, table in enumerate(tables):
        context = f"{_caption(comparison, table)}; {look_text(comparison)}."
        caption = f"{verdict} {context}" if index == 0 else context
        texts.append(_latex_table(ranking(table, comparison.metric, comparison.margin), caption))
    texts += [_latex_table(columns, f"{title}.") for title, columns in _sections(comparison)]
    if any(ord(character) > _LATIN for text in texts for character in text):
        texts[0] += "\n% some characters need a font that has them, and LuaLaTeX or XeLaTeX"
    return "\n\n".join(texts)


def _caption(comparison: Comparison, table: Table) -> str:
    metric = metric_text(comparison, table)
    return f"{metric}" if table.data is None else f"{table.data}: {metric}"


def _latex_table(columns: Columns, caption: str) -> str:
    columns = {key: column for key, column in columns.items() if key != "rank"}
    cells = {key: [latex(title), *(_latex_cell(key, cell) for cell in rest)] for key, (title, *rest) in columns.items()}
    header, *rows = (_latex_row(row) for row in zip(*cells.values(), strict=True))
    alignment = "".join("r" if key in NUMERIC else "l" for key in columns)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex(caption)}}}",
        rf"  \begin{{tabular}}{{{alignment}}}",
    ]
    lines += [f"    {line}" for line in (r"\toprule", header, r"\midrule", *rows, r"\bottomrule")]
    return "\n".join([*lines, r"  \end{tabular}", r"\end{table}"])


def _latex_row(cells: Sequence[str]) -> str:
    start = "{}" if cells[0].startswith(_READ_ON) else ""
    return f"{start}{' & '.join(cells)} \\\\"


def _latex_cell(key: str, cell: str) -> str:
    if key not in _NUMBERS:
        return latex(cell)
    return _SIGNED.sub(lambda match: f"${match[0]}$", _TIMES.sub(r"$\\times$", latex(cell)))


def latex(text: object) -> str:
    r"""Escape a text such that LaTeX prints it literally.

    >>> print(latex("he_normal, 5% of $x^2$, {x}"))
    he\_normal, 5\% of \$x\textasciicircum{}2\$, \{x\}
    >>> print(latex("a--b"))
    a-{}-b
    """
    return "".join(_LATEX.get(character, character) for character in _LIGATURE.sub("\0", printable(text)))


def to_notebook(comparison: Comparison) -> str:
    """Return a comparison as HTML for a notebook: the verdict, and a table for each data set."""
    tables = tables_of(comparison)
    context = metric_text(comparison, tables[0] if len(tables) == 1 else None)
    parts = [f"<p><b>{_html(line)}</b></p>" for line in comparison.verdict]
    parts.append(f"<p>{_html(f'{context}; {look_text(comparison)}')}</p>")
    for table in tables:
        if len(tables) > 1:
            parts.append(f"<h4>{_html(table_title(table, comparison.metric))}</h4>")
        parts.append(_html_table(ranking(table, comparison.metric, comparison.margin)))
        parts += [f"<p>{label}: {_html(text)}</p>" for label, text in facts(table, comparison.metric).items()]
    for title, columns in _sections(comparison):
        parts += [f"<h4>{_html(title)}</h4>", _html_table(columns)]
    lines = [*tuning_lines(comparison), *comparison.notes]
    return "\n".join([*parts, *(f"<p>{_html(line)}</p>" for line in lines)])


def _html(text: object) -> str:
    return html(printable(text))


def _html_table(columns: Columns) -> str:
    header, *rows = zip(*columns.values(), strict=True)
    right = [' style="text-align: right"' if key in NUMERIC else ' style="text-align: left"' for key in columns]

    def row(tag: str, cells: Iterable[str]) -> str:
        pairs = zip(right, cells, strict=True)
        return "<tr>" + "".join(f"<{tag}{style}>{_html(cell)}</{tag}>" for style, cell in pairs) + "</tr>"

    return f"<table>{row('th', header)}{''.join(row('td', cells) for cells in rows)}</table>"
