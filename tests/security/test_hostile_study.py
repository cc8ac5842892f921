"""Tests of a study with good runs and every kind of bad one: verbs show the good and touch nothing outside."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.system.errors import HarnessError
from tests.security.conftest import Command

RUN = ["data=iris", "epochs=1", "model=mlp", "model.width=4", "diagnostic=[]", "logger=[]", "study=dl", "trainer=cpu"]
MARKUP = "a\\[/red]b[link=file:///etc]\x1b[31mc"
BAD = ("pipe", "record link", "run link", "deep", "huge", "list", "../id", "name", "types")  # one bad run each
UNREADABLE = 7  # of these: a linked run is ignored, and a name with markup is shown as text


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three good runs, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for seed in range(3):
            assert harness.run([*RUN, f"seed={seed}", "save=last"]).status == "completed"
    finally:
        os.chdir(before)
    return folder / "outputs"


@pytest.fixture
def hostile(trained: Path, workdir: Path, mine: Path) -> Path:
    """The same study with bad runs beside the good ones."""
    shutil.copytree(trained, workdir / "outputs")
    study = workdir / "outputs" / "dl"
    good = json.loads(next(study.glob("*/record.json")).read_text())
    for number, case in enumerate(BAD):
        folder = study / f"bad-{number:012x}"
        if case == "run link":
            folder.symlink_to(mine)
            continue
        folder.mkdir()
        _spoil(case, folder / "record.json", good | {"id": f"{number:012x}"}, mine)
    for number, name in enumerate(("curves.csv", "weights.pt", "log.txt")):  # links in good runs
        run = sorted(p for p in study.iterdir() if not p.name.startswith("bad-") and p.name[0] != ".")[number]
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(mine / "notes")
    return study


def _spoil(case: str, path: Path, row: dict[str, Any], mine: Path) -> None:
    if case == "pipe":
        os.mkfifo(path)
    elif case == "record link":
        path.symlink_to(mine / "x.json")
    elif case == "deep":
        path.write_text('{"schema": 1, "config": ' + '{"a": ' * 5000 + "1" + "}" * 5001)
    elif case == "huge":
        path.write_text(json.dumps(row)[:-1] + ', "memory": ' + "9" * 5000 + "}")
    elif case == "list":
        path.write_text("[1, 2, 3]")
    elif case == "../id":
        path.write_text(json.dumps(row | {"id": "../../../mine"}))
    elif case == "name":
        path.write_text(json.dumps(row | {"name": MARKUP}))
    else:
        path.write_text(json.dumps(row | {"metrics": [1], "config": "x", "status": 3}))


def _lines(errors: str) -> list[str]:
    assert "Traceback" not in errors
    assert "\x1b" not in errors
    return [line for line in errors.splitlines() if "left out" in line]


@pytest.mark.parametrize(
    "words",
    [
        ["report", "dl"],
        ["report", "dl", "--json"],
        ["report", "dl", "--runs"],
        ["report", "dl", "--runs", "--json"],
        ["doctor", "dl", "--quick"],
        ["doctor", "dl"],
        ["check", "--fused", "dl", "--sample", "1"],
    ],
    ids=" ".join,
)
def test_verbs_show_the_good_runs(words: list[str], hostile: Path, command: Command) -> None:
    before = _names(hostile)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, errors = command(*words)
    left_out = _lines(errors)
    assert len(left_out) <= UNREADABLE
    assert len(set(left_out)) == len(left_out)
    assert _names(hostile) - {".index.jsonl"} == before - {".index.jsonl"}
    assert "Traceback" not in out
    if words[0] == "check":
        assert (status, errors.splitlines()[-1].split(":")[:2]) == (2, ["harness", " error"])
    else:
        assert status in (0, 1)
    if "--runs" in words:
        assert all(f"seed={seed}" in out or f'"seed": {seed}' in out for seed in (1, 2))
    if words[0] == "report" and "--json" not in words:
        assert "\x1b" not in out


def _names(study: Path) -> set[str]:
    return {path.name for path in study.iterdir()}


@pytest.mark.filterwarnings("ignore:left out")
def test_python_reads_the_good_runs(hostile: Path) -> None:
    records = harness.load("dl")
    assert {record.config["seed"] for record in records} == {0, 1, 2}
    for record in records:
        try:
            harness.load_model(record)
        except HarnessError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_rm_removes_runs_and_follows_no_links(hostile: Path, command: Command) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, errors = command("rm", "dl", "--all", "--yes")
    assert (status, out.splitlines()[-1]) == (0, "removed 4 runs")
    assert len(_lines(errors)) <= UNREADABLE


@pytest.mark.slow
def test_sweep_into_the_study_trains_missing_runs(hostile: Path, command: Command) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, errors = command("-m", *RUN, "seed=2,3", "resume=true", "executor=in_process")
    _lines(errors)
    assert status == 0, errors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert {record.config["seed"] for record in harness.load("dl")} == {0, 1, 2, 3}
    assert "Traceback" not in out
