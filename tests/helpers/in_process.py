"""The command line in the test's own process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cli import main

Command = Callable[..., tuple[int, str, str]]  # (*words) to the status, the output and the messages


def runner(capsys: pytest.CaptureFixture[str], *first: str) -> Command:
    """Return a function that runs `harness FIRST WORDS`; it returns the status, the output and the messages."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*first, *words])
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    return run
