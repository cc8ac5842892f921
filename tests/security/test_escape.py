"""Tests that text from outside is shown verbatim: no escape sequences, no markup, no links."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.analysis.report import table
from harness.analysis.report.summary import run_summary, sweep_summary
from harness.cli.live.progress import SweepProgress
from harness.execution.logging.run_loggers import config_text, summary_text
from harness.results.record import Record
from harness.system.escape import lines, markdown
from harness_doctor.summary import examined, text
from tests.security.conftest import Command, good

NAMES = [
    r"a\[/red]b",
    r"\[link=https://x]y",
    "[red]",
    "a\x1b[31mb\x1b]8;;https://x\x07",
    "a\u202eb",
    "a\rb\nc",
    "\x9b31m",
]
UNSEEN = "\x1b\x07\x9b\u202e\r"


@pytest.mark.parametrize("name", NAMES)
def test_control_characters_in_a_record_are_escaped(
    name: str, study: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"type": "ValueError", "message": name, "traceback": None}
    more: dict[str, Any] = {"metrics": {name: 0.5}, "config": {"objective": name}, "error": error, "status": "failed"}
    good(study, 5, name=name, **more)
    forms = (("report", "dl", *form) for form in ([], ["--json"], ["--csv"], ["--markdown"], ["--latex"], ["--runs"]))
    for words in (*forms, ("doctor", "dl", "--quick"), ("rm", "dl", "status=failed", "--yes")):
        status, out, errors = command(*words)
        assert status == 0
        assert not set(UNSEEN) & set(out + errors)


@pytest.mark.parametrize("name", NAMES)
def test_terminal_table_ignores_markup(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=100)
    monkeypatch.setattr(table, "Console", lambda: console)
    table.render(["run", name], [[name, "1.0"]], numeric=[name])
    assert not set(UNSEEN) & set(shown.getvalue())
    assert shown.getvalue().count(lines(name).split("\n")[0][:8]) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_summaries_and_progress_contain_no_escapes(name: str) -> None:
    error = {"type": name, "message": name, "traceback": "x"}
    record = Record("0" * 12, name, "s", "failed", error=error, metrics={name: 1.0}, folder=Path("outputs/s/a"))
    shown = io.StringIO()
    progress = SweepProgress(Console(file=shown))
    progress.standing.jobs = 1
    progress._print_run(record)
    texts = [sweep_summary([record]), shown.getvalue(), text(examined([record], quick=True))]
    record.choices = {"model": name, "activation": name, "optimizer": name, "regularizer": [name]}
    record.choices |= {"augmentation": [], "corruption": []}
    record.model, record.data = {"parameters": 3}, {"name": name, "train": 1, "val": 1, "test": 1}
    texts += [run_summary(record), lines(text(examined([record], quick=True)))]
    for one in [texts[0], texts[1], texts[3], texts[4]]:
        assert not set(UNSEEN) & set(one)


def test_tensorboard_texts_contain_no_markup() -> None:
    evil = "[click](http://x) <img src=x onerror=y> | `c` \n# head"
    error = {"type": "E", "message": evil, "traceback": None}
    record = Record("0" * 12, evil, "s", "failed", error=error, metrics={f"val/{evil}": 0.5})
    for shown in (summary_text(record), config_text({"optimizer": evil, "optimizer.x": evil}, [f"a={evil}"])):
        body = "\n".join(line for line in shown.split("\n") if not line.startswith("    harness "))
        assert "[click](" not in body.replace("\\[", "").replace("\\]", "")
        assert "<img" not in body.replace("\\<", "")
        assert "\n# head" not in shown
    assert markdown("he_normal 0.5") == "he_normal 0.5"


def test_error_line_contains_no_escapes(workdir: Path, command: Command) -> None:
    status, _, errors = command("report", "a\x1b[31mb")
    assert status == 2
    assert "\x1b" not in errors
