"""Make text from outside (names, messages, columns, a stranger's record) safe to show."""

from __future__ import annotations

import re

_JOINERS = "\u200c\u200d"  # they shape letters and emoji, and are seen in what they join
_MARKDOWN = re.compile(r"[\\`*\[\]<>|&]")


def printable(text: object) -> str:
    r"""A text in one line without characters that a terminal acts on: escapes, control characters, and marks that turn
    the direction of writing are shown as what they are.

    >>> printable("naïve 결과 a\x1b[31mb\n")
    'naïve 결과 a\\x1b[31mb\\n'
    >>> print(printable("\u202eevil"))
    \u202eevil
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or c in _JOINERS else _escaped(c) for c in shown)


def lines(text: object) -> str:
    r"""The same of a text that may have several lines, which stay.

    >>> lines("a\nb\x07")
    'a\nb\\x07'
    """
    return "\n".join(map(printable, str(text).split("\n")))


def markdown(text: object) -> str:
    r"""A text that Markdown shows as it is: no links, no HTML, no cells of a table.

    >>> print(markdown("he_normal [a](http://b) <i>|"))
    he_normal \[a\](http://b) \<i\>\|
    """
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", printable(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
