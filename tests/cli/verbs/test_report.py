"""Tests of `harness report`."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.analysis.report.verdict import report_text
from harness.results.record import Record, write
from harness.system.errors import HarnessError
from tests.helpers.comparing import install
from tests.helpers.comparisons import builders, one_data_set
from tests.helpers.in_process import Command, runner

BUILDERS = builders()


@pytest.fixture
def command(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `harness report ab WORDS` on a study of two runs; return the status, the output and the messages."""
    for seed in range(2):
        folder = workdir / "outputs" / "ab" / f"seed={seed}"
        folder.mkdir(parents=True)
        record = Record(
            f"{seed:012x}", f"seed={seed}", "ab", "completed", metrics={"test/accuracy": 0.5}, folder=folder
        )
        write(record, durable=False)

    return runner(capsys, "report", "ab")


@pytest.mark.parametrize("form", ["", "--json", "--csv", "--markdown", "--latex"])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_form_is_printed(name: str, form: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, BUILDERS[name])
    status, out, errors = command(*filter(None, [form]))
    assert (status, errors) == (0, "")
    assert out.endswith("\n")
    assert not set("\x1b\x07\x9b\u202e\r") & set(out)


def test_text_csv_and_json_have_the_comparison(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = one_data_set()
    install(monkeypatch, comparison)
    assert command()[1] == f"{report_text(comparison)}\n"
    assert json.loads(command("--json")[1])["study"] == comparison.study
    rows = list(csv.DictReader(io.StringIO(command("--csv")[1])))
    assert [row["arm"] for row in rows] == [arm.name for arm in comparison.tables[0].arms]
    assert command("--markdown")[1].startswith(f"**{comparison.verdict[0]}**")
    assert "\\toprule" in command("--latex")[1]


def test_flags_are_handed_to_the_comparison(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, one_data_set())
    command("--by", "optimizer,activation", "--metric", "test/loss", "--baseline", "adam,relu", "--where", "epochs=5",
            "--where", "seed=1", "--margin", ".005", "--planned", "20", "--scope", "population")  # fmt: skip
    command()
    given, default = calls
    assert given | {"records": None, "study": None} == {
        "records": None, "study": None, "by": ["optimizer", "activation"], "metric": "test/loss",
        "baseline": "adam,relu", "where": ["epochs=5", "seed=1"], "margin": 0.005, "planned": 20, "scope": "population",
        "curves": False,
    }  # fmt: skip
    nothing = {"by": None, "metric": None, "baseline": None, "where": [], "margin": None, "planned": None}
    assert nothing.items() <= default.items()


def test_files_are_written_and_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = one_data_set()
    calls = install(monkeypatch, comparison)

    def save(comparison: Any, folder: Path, format: str) -> list[Path]:
        return [folder / f"forest.{format}"]

    monkeypatch.setitem(sys.modules, "harness.analysis.html", SimpleNamespace(page=lambda _: "<p>"))
    monkeypatch.setitem(sys.modules, "harness.analysis.figures", SimpleNamespace(save=save))
    _, out, _ = command("--html", "a.html", "--figures", "pictures", "--format", "svg")
    assert out == f"{report_text(comparison)}\nwrote      a.html\nwrote      pictures/forest.svg\n"
    assert Path("a.html").read_text() == "<p>"
    assert [call["curves"] for call in calls] == [False, True]
    assert command("--figures", "pictures")[1].endswith("wrote      pictures/forest.pdf\n")
    json.loads(command("--html", "a.html", "--json")[1])  # nothing but JSON


def test_terminal_gets_the_width_that_it_has(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = BUILDERS["two_factors"]
    install(monkeypatch, comparison)
    monkeypatch.setenv("COLUMNS", "60")
    assert command()[1] == f"{report_text(comparison)}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert command()[1] == f"{report_text(comparison, 60)}\n"
    assert command("--csv")[1].count("…") == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--json", "--csv"], "harness report: argument --csv: not allowed with argument --json."),
        (["--format", "svg"], "harness report: --format needs --figures DIR"),
        (["--figures", "a", "--format", "gif"], "harness report: argument --format: invalid choice: 'gif'"),
        (["--margin", "small"], "harness report: argument --margin: invalid float value: 'small'."),
        (["--planned", "1.5"], "harness report: argument --planned: invalid int value: '1.5'."),
        (["--runs", "--by", "seed"], "harness report: --runs goes with --metric and --json, not with --by"),
        (["--runs", "--csv"], "harness report: --runs goes with --metric and --json, not with --csv"),
        (["--html", "outputs"], "outputs is a folder: name a file, such as outputs/report.html"),
        (["--html", "none/a.html"], "cannot write none/a.html: No such file or directory"),
        (["--metrics", "a"], "harness report: unrecognized arguments: --metrics a. Did you mean '--metric'?"),
    ],
)
def test_mistake_is_one_line(words: list[str], line: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, one_data_set())
    monkeypatch.setitem(sys.modules, "harness.analysis.html", SimpleNamespace(page=lambda _: "<p>"))
    status, out, errors = command(*words)
    assert (status, out) == (2, "")
    assert errors.startswith(f"harness: error: {line}")
    assert errors.count("\n") == 1


def test_mistake_of_the_comparison_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, HarnessError("no factor 'optimiser'. Did you mean 'optimizer'?"))
    status, out, errors = command("--by", "optimiser")
    assert (status, out) == (2, "")
    assert errors == "harness: error: no factor 'optimiser'. Did you mean 'optimizer'?\n"


def test_torn_record_is_named_and_the_others_are_used(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, one_data_set())
    torn = Path("outputs/ab/seed=0/record.json")
    os.truncate(torn, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, errors = command()
    assert (status, out.splitlines()[0]) == (0, one_data_set().verdict[0])
    assert errors.startswith("harness: warning: left out: ")
    assert errors.count("\n") == 1
    assert [record.name for record in calls[0]["records"]] == ["seed=1"]
