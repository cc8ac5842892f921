"""Tests of `harness report` and of the end of a sweep on records, with the comparison that harness makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.analysis.report.summary import sweep_summary
from harness.results.record import Record, write
from tests.helpers.commands import python
from tests.helpers.in_process import Command, runner
from tests.helpers.studies import noise, study

LEVELS = {"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}
COMMAND = "harness -m optimizer=adam,sgd activation=relu,tanh 'seed=range(10)' 'split.seed=${seed}' study=ab"


def accuracy(optimizer: str, activation: str, seed: int) -> float:
    """Return the accuracy of a run: sgd is worse by .03, tanh by nothing."""
    loss = 0.03 * (optimizer == "sgd") - noise(seed, sd=0.01) - noise(optimizer, activation, seed, sd=0.004)
    return round((0.95 - loss) * 400) / 400


def save(folder: Path, records: list[Record]) -> list[Record]:
    """Write records below the folder of a study, and return them as they are read."""
    for number, record in enumerate(records):
        run = folder / f"run-{number}"
        run.mkdir(parents=True)
        write(replace(record, id=f"{number:012x}", study=folder.name, folder=run), durable=False)
    return list(harness.load(folder))


@pytest.fixture
def command(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `harness report ab WORDS` on a study of 40 runs; return the status, the output and the messages."""
    save(workdir / "outputs" / "ab", study(LEVELS, accuracy, command=COMMAND))

    return runner(capsys, "report", "ab")


def test_report_answers_what_is_settled(command: Command) -> None:
    status, out, errors = command()
    assert (status, errors) == (0, "")
    verdict, context, _, *lines = out.splitlines()
    assert "is better than" in verdict
    assert "settled with 10 seeds" in verdict
    assert context == (
        "test/accuracy on 400 test samples, over splits of this data set; 10 of 30 planned seeds, first look (level "
        ".0289, Holm over 6)"
    )
    assert {line.split()[0] for line in lines[2:4]} == {"3", "4"}
    assert all("sgd" in line and line.split()[-2] == "worse" for line in lines[2:4])
    assert "groups     {1 2} {3 4}" in out
    assert lines[-1].startswith("more seeds harness -m optimizer=adam,sgd activation=relu,tanh 'seed=range(30)'")


def test_second_look_at_the_same_data_is_the_same_report(command: Command) -> None:
    assert command() == command()
    assert Path("outputs/ab/looks.jsonl").is_file()


def test_margin_baseline_and_by_are_used(command: Command) -> None:
    _, out, _ = command("--by", "optimizer", "--baseline", "sgd")
    rows = [line for line in out.splitlines() if "10/10" in line or "20/20" in line]
    assert [row.split()[1] for row in rows] == ["adam", "sgd"]
    assert " better " in rows[0]
    assert " baseline" in rows[1]
    assert [line.split()[-2] for line in command("--margin", ".02")[1].splitlines()[4:7]] == ["equal", "worse", "worse"]
    data = json.loads(command("--where", "activation=relu", "--json")[1])
    assert [sorted(arm["levels"]) for arm in data["tables"][0]["arms"]] == [["optimizer"]] * 2
    assert data["runs"] == 20


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--metric", "test/acuracy"], "Did you mean 'test/accuracy'"),
        (["--by", "optimiser"], "Did you mean 'optimizer'"),
        (["--baseline", "lion"], "lion"),
        (["--where", "optimizer=lion"], "optimizer=lion"),
        (["--margin", "-1"], "--margin must be a positive number, got -1.0"),
        (["--planned", "1"], "--planned must be at least 2 units, got 1"),
    ],
)
def test_mistake_is_one_line(words: list[str], line: str, command: Command) -> None:
    status, out, errors = command(*words)
    assert (status, out) == (2, "")
    assert errors.startswith("harness: error: ")
    assert line in errors
    assert errors.count("\n") == 1


def test_report_in_python_is_the_report_of_the_command(command: Command) -> None:
    result = harness.report("ab")
    assert command()[1] == f"{harness.report('ab')}\n"
    assert list(result.arms["optimizer"]) == ["adam", "adam", "sgd", "sgd"]
    assert set(result.differences.query("verdict == 'worse'")["arm"]) == {"sgd,relu", "sgd,tanh"}
    assert str(harness.report(harness.load("ab"))) == str(harness.report("ab"))


def test_sweep_ends_with_the_verdict_and_the_best_arm(command: Command) -> None:
    records = list(harness.load("ab"))
    lines = sweep_summary(records).splitlines()
    assert lines[1].startswith("  verdict   ")
    assert "is better than" in lines[1]
    best = harness.report("ab").comparison.tables[0].arms[0]
    assert lines[2] == f"  best      test/accuracy {f'{best.mean:.4f}'[1:]}  {best.name}  mean of 10 seeds"


def test_sweep_of_one_seed_ends_with_the_command_that_adds_seeds(workdir: Path) -> None:
    records = save(workdir / "outputs" / "ab", study(LEVELS, accuracy, seeds=1, command=COMMAND))
    best, seeds = sweep_summary(records).splitlines()[1:3]
    assert best.endswith("  highest of 4 single runs, which says nothing about seeds")
    assert seeds.startswith("  seeds     harness -m optimizer=adam,sgd activation=relu,tanh 'seed=range(10)'")
    assert str(harness.report("ab")).count("too few") == 3


def test_study_without_a_completed_run_is_one_line(workdir: Path) -> None:
    records = save(workdir / "outputs" / "ab", study(LEVELS, lambda *_: None, seeds=3))
    with pytest.raises(harness.HarnessError, match=r"no run has completed \(12 failed\)"):
        harness.report("ab")
    assert sweep_summary(records).startswith("12 runs: 12 failed\n  failed  12 runs ")


def test_report_imports_no_torch(command: Command) -> None:
    source = "import sys, harness; harness.report('ab'); print([n for n in ('torch', 'pandas') if n in sys.modules])"
    assert python(source, cwd=Path.cwd()) == "[]\n"


def test_page_and_figures_open_offline(command: Command) -> None:
    status, out, errors = command("--html", "report.html", "--figures", "figures", "--format", "svg")
    assert (status, errors) == (0, "")
    assert Path("report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    written = [line.split()[1] for line in out.splitlines() if line.startswith("wrote ")]
    assert written[0] == "report.html"
    assert sorted(written[1:]) == sorted(str(path) for path in Path("figures").iterdir())
