"""A pseudo-terminal, to test how a program behaves for a person at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str], cwd: Path, environment: dict[str, str]) -> None:
        self.handle, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.handle, text.encode())

    def until(self, pattern: str, limit: float = 120) -> tuple[str, re.Match[str]]:
        """Return the output up to the match of a pattern, and the match."""
        shown, end = "", time.monotonic() + limit
        while time.monotonic() < end:
            if select.select([self.handle], [], [], 0.5)[0]:
                try:
                    shown += os.read(self.handle, 65536).decode(errors="replace")
                except OSError:  # the program has ended
                    break
                if match := re.search(pattern, shown):
                    return shown, match
        raise AssertionError(f"never shown: {pattern}\n{shown}")

    def rest(self) -> tuple[str, int]:
        """Return the output until the program ends, and its exit status."""
        shown = b""
        while True:
            try:
                piece = os.read(self.handle, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(self.handle)
        return shown.decode(errors="replace"), self.process.wait()
