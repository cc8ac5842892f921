"""Tests of the differences of two runs, and of `harness diff`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.analysis.report.diff import Diff, diff, diff_text
from harness.cli import main
from harness.results.record import Record
from tests.helpers.in_process import Command, runner
from tests.helpers.saved import save, small
from tests.helpers.studies import record

SOURCES = {"harness": "0123456789abcdef", "torch": "torch 2.8"}


def run(**changes: Any) -> Record:
    """Return the record of a run with digests of its code."""
    made = record({"optimizer": "adam", "optimizer.lr": 0.1, "seed": 0, "regularizer": ["l2"]}, 0.9)
    environment = {"harness": "1.0", "python": "3.11", "plugins": {"mine": "1"}, "git": "abc", "sources": SOURCES}
    return replace(made, **({"environment": environment} | changes))


def rows(found: Diff, part: str) -> dict[str, tuple[Any, Any]]:
    return {row.key: (row.a, row.b) for row in getattr(found, part)}


def parts(found: Diff) -> list[str]:
    """Return the parts in which two runs differ."""
    names = ("config", "launch", "code", "environment", "data", "results", "cost", "curves", "notes")
    return [name for name in names if getattr(found, name)]


def test_equal_runs_differ_in_nothing() -> None:
    found = diff(run(metrics={"val/loss": math.nan}), run(metrics={"val/loss": math.nan}))
    assert parts(found) == []
    assert diff_text(found).splitlines()[-1] == (
        "no difference in config, launch, code, environment, data, results, cost, curves"
    )


def test_settings_that_change_the_result_are_apart_from_those_that_do_not() -> None:
    other = record({"optimizer": "sgd", "optimizer.lr": 0.1, "seed": 1, "regularizer": []}, 0.9)
    found = diff(run(), replace(run(), config=other.config | {"jobs": 3}, choices=other.choices, command="harness"))
    assert rows(found, "config") == {"regularizer": (["l2"], []), "optimizer": ("adam", "sgd"), "seed": (0, 1)}
    assert rows(found, "launch") == {"jobs": (None, 3), "command": ("", "harness")}
    assert parts(found) == ["config", "launch"]


def test_order_of_a_list_and_types_of_numbers_are_differences() -> None:
    two = {"l2": {"_component_": "l2"}, "dropout": {"_component_": "dropout"}}
    a = run(config=run().config | {"regularizer": two, "epochs": 5}, choices={"regularizer": ["l2", "dropout"]})
    b = run(config=a.config | {"epochs": 5.0}, choices={"regularizer": ["dropout", "l2"]})
    assert rows(diff(a, b), "config") == {"regularizer": (["l2", "dropout"], ["dropout", "l2"]), "epochs": (5, 5.0)}


def test_code_is_apart_from_the_environment() -> None:
    sources = {"harness": "fedcba9876543210", "torch": "torch 2.9", "mine": "00112233445566aa"}
    b = run(environment=run().environment | {"sources": sources, "plugins": {"mine": "2"}, "python": "3.12"})
    found = diff(run(), b)
    assert rows(found, "code") == {
        "harness": (SOURCES["harness"], sources["harness"]),
        "mine": (None, sources["mine"]),
        "plugins.mine": ("1", "2"),
    }
    assert rows(found, "environment") == {"torch": ("torch 2.8", "torch 2.9"), "python": ("3.11", "3.12")}


def test_record_without_digests_is_noted() -> None:
    old = run(environment={"harness": "1.0"}, id="0" * 12)
    found = diff(old, run(id="1" * 12))
    assert found.notes == [
        "the record of 000000000000 is of an older version, which kept no digests of the code",
        "the IDs differ, and config and data do not: the code or a version differs",
    ]


def test_data_and_results_are_compared_with_their_change() -> None:
    b = run(
        data=run().data | {"digest": "e", "majority": {"class": "3"}},
        status="diverged",
        error={"type": "Diverged", "message": "loss is nan"},
        metrics={"val/accuracy": 0.75, "test/loss": math.inf},
        tuning={"score": 0.5},
    )
    found = diff(run(), b)
    assert rows(found, "data") == {"digest": ("d", "e"), "majority.class": (None, "3")}
    assert rows(found, "results") == {
        "status": ("completed", "diverged"),
        "error": (None, "Diverged: loss is nan"),
        "val/accuracy": (0.9, 0.75),
        "test/accuracy": (0.9, None),
        "test/loss": (None, math.inf),
        "tuning.score": (None, 0.5),
    }
    changes = {row.key: row.change for row in found.results}
    assert changes.pop("val/accuracy") == pytest.approx(-0.15, rel=1e-12, abs=0)
    assert set(changes.values()) == {None}
    assert ["val/accuracy", "0.9", "0.75", "-0.15"] in [line.split() for line in diff_text(found).splitlines()]


def test_curves_are_compared_up_to_the_first_difference(workdir: Path) -> None:
    a, b = save(workdir / "outputs" / "ab", [run(name="a"), run(name="b")])
    lines = ["step,epoch,metric,value", "1,0,val/loss,0.5", "1,0,systems/memory,1", "2,1,val/loss,nan", "3,1,x,1"]
    (a.folder / "curves.csv").write_text("\n".join([*lines, "4,2,val/loss,0.25"]))
    (b.folder / "curves.csv").write_text("\n".join([*lines, "4,2,val/loss,0.125"]).replace("memory,1", "memory,2"))
    assert diff(a, b).curves == {
        "step": 4, "epoch": 2, "metric": "val/loss", "a": 0.25, "b": 0.125, "equal_values": 3
    }  # fmt: skip
    assert "curves differ from step 4 (epoch 2): val/loss is 0.25 and 0.125" in diff_text(diff(a, b))
    assert diff(a, a).curves is None


def test_names_are_escaped() -> None:
    text = diff_text(diff(run(name="a\x1b[31m"), run(name="b\n", config=run().config | {"x\x07": "\x1b"})))
    assert text.replace("\n", "").isprintable()


@pytest.fixture
def command(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `harness diff` beside a study of six runs; return the status, the output and the messages."""
    small(workdir / "outputs" / "ab", first=0xABC000000000)
    return runner(capsys, "diff")


def test_runs_are_named_by_id_or_folder(command: Command, workdir: Path) -> None:
    first, *_, last = harness.load("ab")
    status, out, errors = command(f"ab/{first.id}", str(last.folder))
    assert (status, errors) == (0, "")
    assert out.splitlines()[1].split()[:3] == ["a", first.id, "completed"]
    assert out.splitlines()[2].split()[:3] == ["b", last.id, "completed"]
    table = [line.split() for line in out.splitlines()[4:8]]
    assert table == [["config", "a", "b"], ["seed", "0", "2"], ["split.seed", "0", "2"], ["optimizer", "adam", "sgd"]]
    with pytest.raises(SystemExit):
        main(["export", "ab", "--to", "ab.zip"])
    assert command(f"ab.zip/{first.id}", f"outputs/ab/{last.id}")[1].endswith(out[1:])


def test_json_has_every_part(command: Command) -> None:
    first, second, *_ = harness.load("ab")
    status, out, _ = command(f"ab/{first.id}", f"ab/{second.id}", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["config"] == [
        {"key": "seed", "a": 0, "b": 1, "change": 1},
        {"key": "split.seed", "a": 0, "b": 1, "change": 1},
    ]
    assert found["curves"]["step"] == 1
    assert found["a"]["id"] == first.id


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ab", "ab/abc"), "ab has 6 runs: name one by its ID, such as ab/abc000"),
        (("ab/abc", "ab"), "6 runs in ab have an ID that begins with abc"),
        (("ab/ff", "ab"), "no runs in ab have an ID that begins with ff"),
        (("ba/ff", "ab"), "no study 'ba', neither as a folder nor under outputs/. Known: ab."),
        (("ab",), "harness diff: the following arguments are required: RUN."),
    ],
)
def test_mistake_is_one_line(command: Command, words: tuple[str, ...], message: str) -> None:
    assert command(*words) == (2, "", f"harness: error: {message}\n")
