"""The pages of the documentation, and the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = sorted((ROOT / "docs" / "reference").glob("*.md"))
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: ```language words, and where it starts."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block shows (```python file=my_plugin.py), if it shows one."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], tuple(m[2].split()), m[3], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]


def commands(block: Block) -> list[tuple[str, int]]:
    """(command, expected exit status) of a console block.

    A command stands behind `$ `, and goes on in the next line where it ends in a backslash. It is expected to be
    refused where `harness: error:` is printed below it, and to fail where there is something `to fix`.
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
