"""Names and texts for components of torch, from its classes' names and docstrings."""

from __future__ import annotations

import functools
import re
import textwrap

WIDTH = 120  # of a docstring's first line
_PARTS = re.compile(r"(?<=[a-z]{2})(?=[A-Z][A-Za-z0-9])|(?<=[A-Z]{2})(?=[A-Z][a-z]+[A-Z_])")
# An argument, and the lines below it that are indented more.
_ARGUMENT = re.compile(r"^( +)(\w+)(?: \(.*?\) ?:|: )(.*(?:\n\1 +\S.*)*)", re.MULTILINE)


def snake(name: str, prefix: str = "torch_") -> str:
    """Convert a class's name to a component's: snake_case, acronyms as one word, without `Loss`.

    >>> [snake(name, "") for name in ("LeakyReLU", "SmoothL1Loss", "KLDivLoss", "RMSprop", "AdamW")]
    ['leaky_relu', 'smooth_l1', 'kl_div', 'rmsprop', 'adamw']
    """
    return prefix + _PARTS.sub("_", name.replace("Loss", "_")).strip("_").lower()


def sentence(doc: str) -> str:
    """Return the first sentence of a docstring as one line, or "" if there is none.

    >>> sentence("Thresholds :math:`x` in place. And more.")
    'Thresholds x in place.'
    """
    text = _plain(doc.strip().split("\n\n")[0])
    first = re.split(r"(?<=[.:])\s", text)[0]
    short = textwrap.shorten(first, WIDTH, placeholder=" ...")
    return short if re.fullmatch(r"[A-Z].{10,}[.:)]", short) else ""


def meaning(doc: str, name: str) -> str:
    """Return the text on an argument in a docstring, without its type and default."""
    text = re.sub(r"\s*\(?\bdefaults?\b.*", "", _plain(_arguments(doc).get(name, "")), flags=re.IGNORECASE)
    return textwrap.shorten(re.split(r"\.(?:\s|$)", text)[0].rstrip(",;"), WIDTH, placeholder=" ...")


def options(doc: str, name: str) -> tuple[str, ...]:
    """Return the words that a docstring quotes as values of an argument: ``'none'`` | ``'tanh'``."""
    return tuple(dict.fromkeys(re.findall(r"``'(\w+)'``", _arguments(doc).get(name, ""))))


@functools.lru_cache(8)
def _arguments(doc: str) -> dict[str, str]:
    """Return {name: text} for the arguments in a docstring."""
    return {found[2]: found[3] for found in _ARGUMENT.finditer(doc)}


def _plain(text: str) -> str:
    """Remove the markup of reStructuredText and TeX."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(text.split()))
    return re.sub(r"\\text\{(.*?)\}|\\(?=\w)|`+", r"\1", text)
