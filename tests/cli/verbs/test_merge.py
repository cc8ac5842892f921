"""Tests of `harness merge`: which runs are copied, which are kept, and that nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.execution import merge
from harness.execution.locks.run_lock import RunLocks
from harness.results.record import Record, write
from harness.results.study import load
from tests.helpers.in_process import Command, runner
from tests.helpers.saved import small


@pytest.fixture
def command(workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command beside two studies of six runs, `a` (IDs 0 to 5) and `b` (IDs 3 to 8)."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    small(workdir / "outputs" / "a")
    small(workdir / "outputs" / "b", first=3)
    for id in range(3, 6):  # the same runs as in a
        shutil.rmtree(folder("b", id))
        shutil.copytree(folder("a", id), workdir / "outputs" / "b" / folder("a", id).name)
    return runner(capsys)


def folder(study: str, id: int) -> Path:
    """Return the folder of a run."""
    return next(Path("outputs", study).glob(f"*-{id:012x}"))


def change(study: str, id: int, **values: object) -> Record:
    """Change the record of a run."""
    record = replace(load(folder(study, id))[0], **values)  # type: ignore[arg-type]
    write(record, durable=False)
    return record


def content(root: str) -> dict[str, bytes]:
    """Return the content of every file below a study, apart from locks and the index."""
    files = [path for path in Path("outputs", root).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(Path("outputs", root))): path.read_bytes()
        for path in files
        if ".owners" not in path.parts and path.name != ".index.jsonl"
    }


def test_runs_are_added_to_the_first_study_and_each_id_is_there_once(command: Command) -> None:
    expected, source = content("b") | content("a"), content("b")
    assert command("merge", "a", "b") == (0, "outputs/a: 3 runs added, 3 there already\n", "")
    assert content("a") == expected
    assert content("b") == source
    assert sorted(record.id for record in harness.load("a")) == [f"{id:012x}" for id in range(9)]
    assert command("merge", "a", "b") == (0, "outputs/a: 0 runs added, 6 there already\n", "")
    assert content("a") == expected


def test_new_study_gets_all_runs(command: Command) -> None:
    before = content("a"), content("b")
    assert command("merge", "a", "b", "--into", "c") == (0, "outputs/c: 9 runs added, 3 there already\n", "")
    assert content("c") == content("b") | content("a")
    assert (content("a"), content("b")) == before


def test_bundles_and_runs_are_merged(command: Command) -> None:
    assert command("export", "b", "--to", "b.zip")[0] == 0
    assert command("merge", "a", "b.zip")[:2] == (0, "outputs/a: 3 runs added, 3 there already\n")
    added = {name.partition("/")[2] for name in content("a") if name.endswith(tuple(f"-{8:012x}/{n}" for n in NAMES))}
    assert added == set(NAMES)
    assert command("merge", str(folder("a", 0)), "b") == (
        2, "", f"harness: error: {folder('a', 0)} is a run, not a study: harness merge outputs/a ...\n"
    )  # fmt: skip
    assert command("merge", str(folder("a", 0)), "b.zip", "--into", "d")[:2] == (0, "outputs/d: 7 runs added\n")


NAMES = ("record.json", "curves.csv", ".hydra/config.yaml")


def test_conflict_is_named_and_the_first_run_kept(command: Command) -> None:
    kept = content("a")
    change("b", 4, metrics={"val/accuracy": 0.5, "test/accuracy": 0.25})
    status, out, errors = command("merge", "a", "b")
    assert (status, errors) == (1, "")
    first, second = out.splitlines()
    assert first == "outputs/a: 3 runs added, 2 there already"
    assert second.startswith("conflict  run 000000000004 (optimizer=")
    assert second.endswith(" here, 0.5 in b; the first is kept")
    assert kept.items() <= content("a").items()


def test_completed_run_replaces_one_that_failed_and_never_the_reverse(command: Command) -> None:
    good = (folder("b", 4) / "record.json").read_bytes()
    change("a", 4, status="failed", metrics={})
    change("b", 5, status="interrupted", metrics={})
    kept = (folder("a", 5) / "record.json").read_bytes()
    assert command("merge", "a", "b") == (
        0, "outputs/a: 3 runs added, 1 replaced by runs that completed, 2 there already\n", ""
    )  # fmt: skip
    assert (folder("a", 4) / "record.json").read_bytes() == good
    assert (folder("a", 5) / "record.json").read_bytes() == kept
    assert [name for name in content("a") if ".merged" in name] == []


def test_runs_in_training_are_left_out(command: Command) -> None:
    change("b", 8, status="running")
    with RunLocks(Path("outputs/a")) as locks:
        assert locks.claim([f"{7:012x}"]) == [f"{7:012x}"]
        with RunLocks(Path("outputs/a")) as other:
            assert other.claim([f"{7:012x}"]) == []
        assert command("merge", "a", "b")[1] == (
            "outputs/a: 1 runs added, 3 there already, 2 left out that have not ended\n"
        )


def test_tuning_and_looks_are_merged(command: Command) -> None:
    for study, ids in (("a", "12"), ("b", "23")):
        small(Path("outputs", study, "tuning"), seeds=(0,), first=100 if study == "a" else 101)
        for id in ids:
            (Path("outputs", study, "tuning", f"{id * 12}.json")).write_text(f'{{"{id}": 1}}')
        Path("outputs", study, "looks.jsonl").write_text(f'{{"both": 1}}\n{{"{study}": 1}}\n')
    (Path("outputs/b/tuning") / f"{'2' * 12}.json").write_text("{}")
    status, out, _ = command("merge", "a", "b")
    assert out.splitlines() == [
        "outputs/a: 3 runs added, 1 trials added, 3 there already",
        "conflict  run 000000000065 (optimizer=adam,seed=0,split.seed=0): "
        + out.splitlines()[1].partition("split.seed=0): ")[2],
        "conflict  tuning 222222222222: other trials in b; the first is kept",
    ]
    assert status == 1
    assert Path("outputs/a/looks.jsonl").read_text() == '{"both": 1}\n{"a": 1}\n{"b": 1}\n'
    assert {path.name: path.read_text() for path in Path("outputs/a/tuning").glob("*.json")} == {
        f"{id * 12}.json": f'{{"{id}": 1}}' for id in "123"
    }
    assert len(load(Path("outputs/a/tuning"))) == 3


def test_crash_loses_nothing_and_repeating_completes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = content("b") | content("a")
    calls = []

    def crash(*where: Path) -> None:
        calls.append(where)
        if len(calls) == 2:
            raise KeyboardInterrupt
        os.replace(*where)

    with monkeypatch.context() as patch:
        patch.setattr(merge.os, "rename", crash)
        assert command("merge", "a", "b")[0] == 130
    assert len(harness.load("a")) == 7
    assert command("merge", "a", "b")[1] == "outputs/a: 2 runs added, 4 there already\n"
    assert content("a") == expected


def test_links_of_a_source_are_not_copied(command: Command, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (folder("b", 8) / "log.txt").symlink_to(secret)
    (folder("b", 8) / "more").symlink_to(tmp_path)
    assert command("merge", "a", "b")[0] == 0
    assert {path.name for path in folder("a", 8).iterdir()} == {*NAMES[:2], ".hydra", "weights.pt"}


@pytest.mark.filterwarnings("always:left out")
def test_torn_record_of_the_target_is_not_overwritten(command: Command) -> None:
    torn = Path("outputs/a", folder("b", 8).name)
    torn.mkdir()
    (torn / "record.json").write_text("{")
    status, out, errors = command("merge", "a", "b")
    assert status == 1
    assert errors.startswith(f"harness: warning: left out: {torn}/record.json: it is torn")
    assert f"conflict  {torn} exists, and its record cannot be read" in out
    assert (torn / "record.json").read_text() == "{"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a",), "harness merge takes two studies or more, or --into NAME"),
        (("a", "b", "--into", "b"), "outputs/b exists: harness merge b a b adds to it"),
        (("a", "b", "--into", "c.zip"), "--into c.zip: expected a study; merge into one first, then harness export it"),
        (("a", "c"), "no study 'c', neither as a folder nor under outputs/. Known: a, b, empty."),
        (("a", "empty"), "no runs in empty"),
        (("a", "empty", "--into", "c"), "no runs in empty"),
        (("x.zip", "a"), "x.zip is a bundle, which is only read: unpack it below outputs/ to change it"),
        (("a", "x.zip"), "x.zip is truncated, damaged or no zip file (File is not a zip file): get it again"),
    ],
)
def test_mistake_is_one_line(command: Command, words: tuple[str, ...], message: str) -> None:
    Path("outputs/empty").mkdir()
    Path("x.zip").write_text("text")
    before = content(".")
    assert command("merge", *words) == (2, "", f"harness: error: {message}\n")
    assert content(".") == before
    assert not Path("outputs/c").exists()


def test_merged_study_is_reported(command: Command) -> None:
    shutil.rmtree("outputs/b")
    small(Path("outputs/b"), seeds=(3, 4, 5), first=6)
    assert command("report", "a")[0] == command("report", "b")[0] == 0
    assert command("merge", "a", "b")[1] == "outputs/a: 6 runs added\n"
    status, out, _ = command("report", "a", "--json")
    assert status == 0
    assert json.loads(out)["runs"] == 12
