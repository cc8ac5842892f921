"""Pieces of HTML. Every text from outside passes through `text`, which escapes it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.figures.style import label
from harness.system.escape import lines, printable

_LONGEST = 120  # characters of a name in a table
_LINE = 24  # characters of a name that stay on one line


def text(value: object) -> str:
    r"""Escape a text for HTML, and the characters in it that would act on the reader's screen.

    >>> text("<b>\x1b[31m")
    '&lt;b&gt;\\x1b[31m'
    """
    return html.escape(printable(value))


def name(value: object) -> str:
    """Escape a name and shorten it; a long one may be broken into lines after a comma.

    >>> name("adam,a&b"), name("adam,relu,he_normal,batch_norm")
    ('adam,a&amp;b', 'adam,<wbr>relu,<wbr>he_normal,<wbr>batch_norm')
    """
    shown = html.escape(label(value, _LONGEST))
    return shown.replace(",", ",<wbr>") if len(shown) > _LINE else shown


def block(value: object) -> str:
    """Escape a text for a `pre` element, which keeps its line breaks."""
    return html.escape(lines(value))


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        html: Its content.
        sort: The number by which rows are sorted; None for a cell without a value, "text" to sort by the text itself.
        kind: Its CSS class.
        head: True for the cell that names its row.
    """

    html: str
    sort: float | Literal["text"] | None = None
    kind: str = ""
    head: bool = False

    def __str__(self) -> str:
        tag = 'th scope="row"' if self.head else "td"
        kind = f' class="{self.kind}"' if self.kind else ""
        value = "" if self.sort == "text" else ' data-v=""' if self.sort is None else f' data-v="{self.sort:.10g}"'
        return f"<{tag}{kind}{value}>{self.html}</{tag[:2]}>"


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes:
        title: Its text.
        kind: Its CSS class.
        hint: An explanation, shown when pointed at.
    """

    title: str
    kind: str = ""
    hint: str = ""

    def __str__(self) -> str:
        kind = f' class="{self.kind}"' if self.kind else ""
        hint = f' title="{text(self.hint)}"' if self.hint else ""
        return f'<th scope="col"{kind}{hint}>{text(self.title)}</th>'


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]], classes: Sequence[str] | None = None
) -> str:
    """Return a table that can be sorted.

    Args:
        caption: Its caption, as HTML.
        columns: The heads of its columns.
        rows: The cells of each row.
        classes: The CSS class of each row.
    """
    body = []
    for i, row in enumerate(rows):
        kind = f' class="{classes[i]}"' if classes and classes[i] else ""
        body.append(f"<tr{kind}>{''.join(map(str, row))}</tr>")
    head = "".join(map(str, columns))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table class="sortable">'
        f"<caption><div>{caption}</div></caption><thead><tr>{head}</tr></thead>\n<tbody>"
        + "\n".join(body)
        + "</tbody></table></div>"
    )


def section(name: str, heading: str, content: str) -> str:
    """Return a section with a heading, or nothing without content."""
    if not content:
        return ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{text(heading)}</h2>\n{content}</section>\n'
    )


def details(summary: str, content: str, is_open: bool = False) -> str:
    """Return a part that can be opened. The summary is HTML."""
    return f"<details{' open' if is_open else ''}><summary>{summary}</summary>\n{content}</details>\n"


def paragraph(*sentences: str) -> str:
    """Return sentences, which are HTML, as a paragraph."""
    return f"<p>{' '.join(sentences)}</p>\n"


def items(entries: Iterable[str], kind: str = "") -> str:
    """Return a list of entries, which are HTML."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<ul{attribute}>" + "".join(f"<li>{entry}</li>" for entry in entries) + "</ul>\n"
