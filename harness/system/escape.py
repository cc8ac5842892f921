"""Make text from outside (names, messages, columns, records) safe to show."""

from __future__ import annotations

import functools
import re

_JOINERS = "\u200c\u200d"  # harmless: they only shape letters and emoji
_MARKDOWN = re.compile(r"[\\`*\[\]<>|&]")


def printable(text: object) -> str:
    r"""Escape the characters of a text that a terminal acts on.

    These are escape sequences, control characters with line breaks, and marks that change the direction of writing.

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
    r"""Escape the characters of a text that a terminal acts on, but keep its line breaks.

    >>> lines("a\nb\x07")
    'a\nb\\x07'
    """
    return "\n".join(map(printable, str(text).split("\n")))


def markdown(text: object) -> str:
    r"""Escape a text such that Markdown shows it literally: no links, no HTML, no table cells.

    >>> print(markdown("he_normal [a](http://b) <i>|"))
    he_normal \[a\](http://b) \<i\>\|
    """
    return _markdown(str(text))


@functools.lru_cache(4096)  # the runs of a sweep share most of their words
def _markdown(text: str) -> str:
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", printable(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
