"""Tests of `harness rm`: the runs it removes, the lines it refuses, and that nothing else is touched."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.cli.verbs import rm
from harness.cli.verbs.rm import parse_filters, passes
from harness.execution.locks import run_lock
from harness.results.record import FILE, Record, write
from harness.results.study import load
from tests.helpers.commands import python

Line = Callable[..., tuple[int, str, str]]
OPTIMIZERS = ("sgd", "adam")


pytestmark = pytest.mark.filterwarnings("ignore:left out")  # the study holds a torn record


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    """Run a line; return its exit status, its output and its error."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["rm", *words])
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err.removeprefix("harness: error: ").rstrip("\n")

    return run


@pytest.fixture
def study(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six runs: two optimizers, three seeds, one failed and one diverged, beside folders that are no runs."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    folder = workdir / "outputs" / "first"
    for number, (optimizer, seed) in enumerate(itertools.product(OPTIMIZERS, range(3))):
        status = {1: "failed", 5: "diverged"}.get(number, "completed")
        run(folder / f"optimizer={optimizer},seed={seed}-{number:012x}", number, status, optimizer, seed)
    (folder / "notes").mkdir()
    (folder / "notes" / "why.txt").write_text("kept")
    (folder / "torn-0123456789ab").mkdir()
    (folder / "torn-0123456789ab" / FILE).write_text("{")
    run(workdir / "outputs" / "second" / f"seed=0-{0:012x}", 0, "failed", "sgd", 0)
    return folder


def run(folder: Path, number: int, status: str, optimizer: str, seed: int) -> Record:
    """Create a run with a file in its folder."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("")
    config = {
        "seed": seed,
        "optimizer": {"_component_": optimizer, "lr": 10.0 ** -(1 + seed), "nesterov": optimizer == "adam"},
        "regularizer": {"l2": {"_component_": "l2", "strength": 0.1}} if seed == 2 else {},
        "objective": None,
    }
    choices: dict[str, str | list[str]] = {"optimizer": optimizer, "regularizer": ["l2"] if seed == 2 else []}
    name = f"optimizer={optimizer},seed={seed}"
    record = Record(f"{number:012x}", name, "s", status, config=config, choices=choices, folder=folder)
    write(record)
    return record


def left(study: Path) -> list[int]:
    """Return the numbers of the remaining runs."""
    return sorted(int(record.id, 16) for record in load(study))


@pytest.mark.parametrize(
    ("filters", "gone"),
    [
        ("optimizer=sgd", [0, 1, 2]),
        ("optimizer=sgd,adam seed=0", [0, 3]),
        ("seed=0,2", [0, 2, 3, 5]),
        ("seed=range(1,3)", [1, 2, 4, 5]),
        ("optimizer.lr=1e-3", [2, 5]),
        ("optimizer.lr=0.10", [0, 3]),
        ("optimizer.nesterov=True", [3, 4, 5]),
        ("optimizer.nesterov=1", []),
        ("objective=null seed=0.0", [0, 3]),
        ("objective='null'", []),
        ("regularizer=[l2]", [2, 5]),
        ("regularizer=l2", [2, 5]),
        ("regularizer=[]", [0, 1, 3, 4]),
        ("regularizer.l2.strength=0.1", [2, 5]),
        ("status=failed,diverged", [1, 5]),
        ("status=completed optimizer=adam", [3, 4]),
        ("status=interrupted", []),
        ("id=00000000000", [0, 1, 2, 3, 4, 5]),
        ("id=000000000004,000000000005 seed=1", [4]),
        ("id=f", []),
        ("--all", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_runs_that_pass_every_filter_are_removed(filters: str, gone: list[int], study: Path, line: Line) -> None:
    status, out, error = line("first", *filters.split(), "--yes")
    assert (status, error) == (0, "")
    assert out.splitlines()[-1] == f"removed {len(gone)} runs"
    assert sorted(row.split()[0] for row in out.splitlines()[:-1]) == [f"{number:012x}" for number in gone]
    assert left(study) == [number for number in range(6) if number not in gone]
    assert {path.name for path in study.iterdir()} >= {"notes", "torn-0123456789ab"}
    assert not list(study.glob(".removed-*"))
    assert left(study.parent / "second") == [0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("first", "harness rm needs a filter, such as optimizer=sgd or status=failed; --all removes every run"),
        ("first --yes", "harness rm needs a filter"),
        ("first --all seed=0", "harness rm: --all takes no filter, got seed=0"),
        ("first optimizr=sgd --yes", "no run in first has 'optimizr'. Did you mean 'optimizer'"),
        ("first optimizer.lrr=1 --yes", "no run in first has 'optimizer.lrr'. Did you mean 'optimizer.lr'"),
        ("first statu=failed --yes", "no run in first has 'statu'. Did you mean 'status'?"),
        ("first status=faild --yes", "no status 'faild'. Did you mean 'failed'?"),
        ("first status= --yes", "'status=': a value is missing"),
        ("first status=failed status=diverged --yes", "status is given twice: status=failed and status=diverged"),
        ("first seed=0 seed=1 --yes", "seed is given twice: seed=0 and seed=1"),
        ("first seed --yes", "'seed' is not a filter: write KEY=VALUE"),
        ("first ~seed=0 --yes", "'~seed=0' is not a filter"),
        ("first +seed=0 --yes", "'+seed=0' is not a filter"),
        ("first =0 --yes", "'=0' is not a filter"),
        ("first seed=[0 --yes", "cannot read 'seed=[0'"),
        ("first seed=interval(0,1) --yes", "seed=interval(0,1): a filter takes values: seed=a,b"),
        ("first seed=glob(*) --yes", "seed=glob(*): a filter takes values: seed=a,b"),
        ("first seed=0 --yess", "harness rm: unrecognized arguments: --yess. Did you mean '--yes'"),
        ("frist seed=0 --yes", "no study 'frist'"),
        ("empty seed=0 --yes", "no runs in empty"),
        ("first seed=0", "harness rm would remove 2 runs: add --yes, nobody can be asked"),
        (
            "first/optimizer=sgd,seed=0-000000000000 --all --yes",
            "outputs/first/optimizer=sgd,seed=0-000000000000 is a run",
        ),
        ("", "harness rm: "),
    ],
)
def test_refused_line_removes_nothing(words: str, message: str, study: Path, line: Line) -> None:
    (study.parent / "empty").mkdir()
    status, out, error = line(*words.split())
    assert (status, out) == (2, "")
    assert error.startswith(message)
    assert "\n" not in error
    assert left(study) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("answer", "gone"), [("y", 2), ("YES", 2), ("", 0), ("n", 0), ("what", 0), (None, 0)])
def test_removal_asks_on_a_terminal(
    answer: str | None, gone: int, study: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = []

    def typed(question: str) -> str:
        questions.append(question)
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", typed)
    status, out, _ = line("first", "seed=0")
    assert questions == ["remove 2 runs? [y/N] "]
    assert (status, out.splitlines()[-1]) == (0, f"removed {gone} runs")
    assert len(left(study)) == 6 - gone


def test_long_list_is_abbreviated(study: Path, line: Line) -> None:
    for seed in range(10, 30):
        run(study / f"seed={seed}-{seed:012x}", seed, "interrupted", "sgd", seed)
    _, out, _ = line("first", "optimizer=sgd", "--yes")
    lines = out.splitlines()
    assert lines[1].split() == [f"{1:012x}", "failed", "optimizer=sgd,seed=1"]  # in the order of the folders
    assert len(lines) == 22
    assert lines[20:] == ["  and 3 more", "removed 23 runs"]


def test_running_run_is_kept(study: Path, line: Line) -> None:
    with run_lock.RunLocks(study) as claims:
        assert claims.claim([f"{0:012x}", f"{3:012x}"])
        _, out, _ = line("first", "seed=0,1", "--yes")
    assert out.splitlines()[0] == "2 runs are kept: a process is training them"
    assert out.splitlines()[-1] == "removed 2 runs"
    assert left(study) == [0, 2, 3, 5]


def test_run_changed_since_the_listing_is_kept(study: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, claims = rm.listing, run_lock.RunLocks(study)

    def meanwhile(records: Sequence[Record]) -> list[str]:
        lines = listed(records)
        by_number = {int(record.id, 16): record for record in records}
        shutil.rmtree(by_number[0].folder)  # removed by another rm
        by_number[1].status = "running"  # trained again
        write(by_number[1])
        claims.claim([f"{2:012x}"])
        return lines

    monkeypatch.setattr(rm, "listing", meanwhile)
    with claims:
        _, out, _ = line("first", "status=completed,failed", "--yes")
    assert out.splitlines()[-1] == "removed 2 runs"
    assert left(study) == [1, 2, 5]


def test_interrupted_removal_leaves_whole_runs_and_is_completed_by_the_next(
    study: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        assert line("first", "seed=0", "--yes")[0] == 130
    hidden = list(study.glob(".removed-*"))
    assert len(hidden) == 1
    assert left(study) == [0, 1, 2, 4, 5]
    others = [study / ".removed-by-hand", study / f".removed-{1:016x}"]
    others[0].mkdir()
    others[1].symlink_to(study / "notes")
    assert line("first", "seed=17", "--yes")[1] == "removed 0 runs\n"
    assert sorted(study.glob(".removed-*")) == sorted(others)
    assert (study / "notes" / "why.txt").exists()
    assert left(study) == [0, 1, 2, 4, 5]


def test_folder_that_cannot_be_removed_is_reported(study: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", denied)
        status, _, error = line("first", "seed=0", "--yes")
    assert (status, error) == (2, "cannot remove outputs/first/optimizer=adam,seed=0-000000000003: Permission denied")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    assert line("first", "seed=0", "--yes")[2].startswith("cannot remove all files in outputs/first/.removed-")


def test_all_studies_of_a_folder_can_be_removed(study: Path, line: Line) -> None:
    link = study / "linked"
    link.symlink_to(study.parent / "second" / f"seed=0-{0:012x}")
    _, out, _ = line("first", "--all", "--yes")
    assert out.splitlines()[-1] == "removed 6 runs"
    assert left(study.parent) == [0]
    assert line("outputs", "status=failed", "--yes")[1].endswith("removed 1 runs\n")
    assert link.is_symlink()
    assert study.is_dir()


plain = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, width=16) | st.sampled_from("abc")


@given(plain, plain)
def test_filter_matches_equal_values_only(held: Any, other: Any) -> None:
    from harness.system.errors import shown

    written = "inf" if held == float("inf") else "-inf" if held == float("-inf") else held  # as in a record
    record = Record("0" * 12, "a", "s", config={"x": written, "more": [written]})
    same = (held is other) if isinstance(held, bool) or isinstance(other, bool) else held == other
    assert passes(record, parse_filters([f"x={shown(held)}", f"more=[{shown(held)}]", "id=0"]))
    assert passes(record, parse_filters([f"x={shown(other)}"])) == same
    assert passes(record, parse_filters([f"x={shown(other)},{shown(held)}"]))


def test_rm_and_report_import_no_torch(study: Path) -> None:
    shutil.rmtree(study / "torn-0123456789ab")  # it gives a warning, which is an error there
    source = """
import sys
from harness.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    print(stop.code or 0, *[name for name in ("torch", "pandas", "sklearn") if name in sys.modules])
"""
    for words in (("rm", "first", "optimizer=sgd", "--yes"), ("report", "first", "--runs")):
        out = python(source, *words, cwd=study.parent.parent)
        assert out.splitlines()[-1] == "0"
