"""The pages of the documentation and their fenced blocks, for the tests that run them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs"
MARK = "<!-- Written by `python docs/generate.py`"
PAGES = [ROOT / "README.md", *(p for p in sorted(BOOK.rglob("*.md")) if MARK not in p.read_text(encoding="utf-8"))]
_FENCE = re.compile(r'^(<!-- slow -->\n)?```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """Return the path of a page, as the ID of a test."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: The word after the fence.
        text: The content.
        line: The line of the page where the block starts, from 1.
        file: The file that the block shows (```python title="my_plugin.py"), or None.
        slow: True if `<!-- slow -->` is on the line above.
    """

    language: str
    text: str
    line: int = 1
    file: str | None = None
    slow: bool = False


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(m[2], m[4], text.count("\n", 0, m.start(2)) + 1, m[3], bool(m[1])) for m in _FENCE.finditer(text)]


def commands(block: Block) -> list[tuple[str, int]]:
    """Return (command, expected exit status) for each command of a console block.

    A command follows `$ ` and continues on the next line after a backslash. The status is 2 if `harness: error:` is
    printed below it, 1 if a line ends with `to fix`, else 0.
    """
    found: list[tuple[str, int]] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).strip().removeprefix("> ")
            found.append((command, 0))
        elif line.startswith("harness: error:"):
            found[-1] = (found[-1][0], 2)
        elif line.endswith(" to fix"):
            found[-1] = (found[-1][0], 1)
    return found
