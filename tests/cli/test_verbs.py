"""Tests of the verbs of the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.registry import catalogue
from harness.registry.command import built_in_names
from harness.registry.kinds import KINDS
from harness.results.record import Record, write
from tests.helpers.commands import HARNESS, environment

Print = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Print:
    """Return the output of a line that succeeds."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        output = capsys.readouterr()
        assert (stop.value.code, output.err) == (0, "")
        return output.out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Print:
    """Return the one line of a mistake."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        output = capsys.readouterr()
        assert (stop.value.code, output.out) == (2, "")
        assert output.err.count("\n") == 1
        return output.err.removeprefix("harness: error: ").rstrip()

    return run


def record(folder: Path, seed: int, accuracy: float) -> Record:
    """A completed run in a study."""
    folder.mkdir(parents=True)
    done = Record(
        f"{seed:012x}",
        f"seed={seed}",
        folder.parent.name,
        status="completed",
        config={"seed": seed, "objective": "val/accuracy"},
        metrics={"train/loss": 0.5, "val/accuracy": accuracy, "test/accuracy": accuracy - 0.01},
        time={"fit_s": 1.25, "share_s": 1.25, "total_s": 2.0},
        folder=folder,
    )
    write(done)
    return done


@pytest.mark.parametrize("verb", [*built_in_names(), "doctor"])
def test_verb_has_help(verb: str, printed: Print) -> None:
    text = printed(verb, "--help")
    assert text.startswith(f"usage: harness {verb}")
    assert f"harness {verb}" in printed("--help")


def test_list_shows_every_component_with_its_origin(printed: Print) -> None:
    text = printed("list")
    lines = [line.split() for line in text.splitlines()]
    for entry in catalogue.current():
        assert any(row[:2] == [entry["kind"], entry["name"]] and row[-1] == "dl-harness" for row in lines[1:]), entry[
            "name"
        ]
    assert len([row for row in lines if row]) == 1 + len(list(catalogue.current()))


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_a_kind_shows_its_components(kind: str, printed: Print) -> None:
    rows = json.loads(printed("list", kind, "--json"))
    assert [row["name"] for row in rows] == catalogue.current().names(kind)
    assert rows
    for row in rows:
        assert list(row) == ["kind", "name", "origin", "parameters", "reference", "doc"]
        assert (row["kind"], row["origin"]) == (kind, "dl-harness")
        assert row["doc"]


def test_show_describes_a_component_in_full(printed: Print) -> None:
    for entry in catalogue.current():
        text = printed("show", f"{entry['kind']}/{entry['name']}")
        assert text.startswith(f"{entry['kind']}/{entry['name']}  (dl-harness)")
        for p in entry["parameters"]:
            assert f".{p['name']} " in text
        if entry["reference"]:
            assert entry["reference"] in text
        assert entry["doc"].splitlines()[0] in text
        choose = (
            f"'{entry['kind']}=[{entry['name']}]'" if KINDS[entry["kind"]].many else f"{entry['kind']}={entry['name']}"
        )
        assert text.rstrip().endswith(f"harness {choose}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["list", "optimiser"], "no kind 'optimiser'. Did you mean 'optimizer'?"),
        (["show", "optimizer/adm"], "no optimizer 'adm'. Did you mean 'adam'"),
        (["show", "optimiser/adam"], "no kind 'optimiser'. Did you mean 'optimizer'?"),
        (["show", "adam"], "harness show takes KIND/NAME, got 'adam'. Did you mean 'optimizer/adam'?"),
        (["show"], "harness show: "),
        (["plugins", "--jsn"], "harness plugins: "),
        (["report", "stdy"], "no study 'stdy'"),
        (["report"], "harness report: "),
        (["board", "stdy"], "no study 'stdy'"),
        (["lits"], "no command 'lits'. Did you mean 'list' or 'claims'?"),
    ],
)
def test_wrong_word_is_refused_with_a_suggestion(words: list[str], line: str, refused: Print, workdir: Path) -> None:
    (workdir / "outputs" / "study").mkdir(parents=True)
    assert refused(*words).startswith(line)


def test_plugins_lists_installed_and_blocked_ones(printed: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(printed("plugins", "--json"))
    assert rows["problems"] == []
    mine = next(p for p in rows["plugins"] if p["name"] == "harness")
    assert next(p for p in rows["plugins"] if p["name"] == "doctor")["commands"] == ["doctor"]
    assert mine["status"] == "installed"
    assert mine["components"] == sorted(
        f"{e['kind']}/{e['name']}" for e in catalogue.current() if e["plugin"] == "harness"
    )
    monkeypatch.setenv("HARNESS_BLOCK", "harness,harnes")
    assert [p["status"] for p in json.loads(printed("plugins", "--json"))["plugins"] if p["name"] == "harness"] == [
        "blocked"
    ]
    assert printed("plugins").splitlines()[-1] == (
        "HARNESS_BLOCK names 'harnes', and no such plugin is installed. Did you mean 'harness' or 'dl-harness'?"
    )


def test_report_has_one_row_per_run(workdir: Path, printed: Print, refused: Print) -> None:
    done = [record(workdir / "outputs" / "study" / f"seed={seed}", seed, 0.9 + seed / 100) for seed in range(3)]
    lines = printed("report", "study", "--runs").splitlines()
    assert "val/accuracy" in lines[0]
    assert "test/accuracy" in lines[0]
    assert [line.split()[:4] for line in lines[1:4]] == [
        [f"seed={seed}", "completed", f"{0.9 + seed / 100:.4f}", f"{0.89 + seed / 100:.4f}"] for seed in range(3)
    ]
    assert printed("report", "outputs/study", "--runs") == printed("report", "study", "--runs")
    rows = json.loads(printed("report", "study", "--runs", "--json"))
    assert rows == [json.loads(r.to_json()) for r in done]
    assert "train/loss" in printed("report", "study", "--runs", "--metric", "train/loss").splitlines()[0]
    assert "Did you mean 'test/accuracy'" in refused("report", "study", "--runs", "--metric", "test/acuracy")
    (workdir / "outputs" / "empty").mkdir()
    assert refused("report", "empty", "--runs") == "no runs in empty"
    assert refused("report", "empty") == "no runs in empty"


def test_wide_table_is_not_wrapped_in_a_pipe(workdir: Path) -> None:
    record(workdir / "outputs" / "study" / ("x" * 90), 1, 0.5)
    done = subprocess.run(
        [HARNESS, "list"], cwd=workdir, env=environment(COLUMNS="40"), capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1 + len(list(catalogue.current()))


def test_reader_that_leaves_early_is_no_error(workdir: Path) -> None:
    line = f"set -o pipefail; '{HARNESS}' list --json | head -1"
    done = subprocess.run(
        ["bash", "-c", line], cwd=workdir, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")
