"""Tests of `harness export`: the files it writes, and the lines it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.in_process import Command, runner
from tests.helpers.saved import small


@pytest.fixture
def command(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command beside a study of six runs; return the status, the output and the messages."""
    small(workdir / "outputs" / "ab")
    return runner(capsys)


def test_report_of_a_bundle_is_the_report_of_its_study(command: Command) -> None:
    assert command("export", "ab", "--to", "sent.zip") == (0, "wrote sent.zip: 6 runs, 0.0 MB\n", "")
    there, here = command("report", "ab"), command("report", "sent.zip")
    assert there[0] == 0
    assert there[1].startswith("sgd is worse than adam on digits")
    assert here == there
    assert command("report", "sent.zip", "--runs") == command("report", "ab", "--runs")


@pytest.mark.parametrize("name", ["ab.parquet", "ab.csv"])
def test_table_has_a_row_for_each_run_of_a_study_or_a_bundle(command: Command, workdir: Path, name: str) -> None:
    assert command("export", "ab", "--to", name) == (0, f"wrote {name}: 6 runs\n", "")
    assert command("export", "ab", "--to", "ab.zip")[0] == 0
    assert command("export", "ab.zip", "--to", f"again-{name}") == (0, f"wrote again-{name}: 6 runs\n", "")
    assert (workdir / f"again-{name}").read_bytes() == (workdir / name).read_bytes()


def test_bencheval_gets_its_results_frame(command: Command, workdir: Path) -> None:
    line = "wrote ab.bencheval.csv: 6 runs, metric_error is 1 - test/accuracy\n"
    assert command("export", "ab", "--to", "bencheval") == (0, line, "")
    assert (
        (workdir / "ab.bencheval.csv")
        .read_text()
        .startswith("method,task,seed,metric_error,time_train_s\nadam,digits,0,")
    )
    assert command("export", "outputs/ab", "--to", "bencheval")[2].startswith("harness: error: ab.bencheval.csv exists")


@pytest.mark.filterwarnings("always:left out")
def test_what_is_left_out_is_named(command: Command, workdir: Path) -> None:
    torn = next((workdir / "outputs" / "ab").glob("*/record.json"))
    torn.write_text("{")
    status, out, errors = command("export", "ab", "--to", "sent.zip")
    assert (status, out) == (0, "wrote sent.zip: 5 runs, 0.0 MB\n")
    assert errors.startswith("harness: warning: left out: outputs/ab/")
    assert errors.endswith("/record.json: it is torn or not JSON\n")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ab", "--to", "taken.zip"), "taken.zip exists: remove it, or choose another name"),
        (("ab", "--to", "no/x.zip"), "cannot write no/x.zip: No such file or directory"),
        (("abc", "--to", "x.zip"), "no study 'abc', neither as a folder nor under outputs/. Did you mean 'ab'?"),
        (
            ("ab", "--to", "x.pdf"),
            "harness export: --to x.pdf: expected FILE.zip, FILE.parquet, FILE.csv, bencheval, mlflow, wandb or "
            "trackio",
        ),
        (("ab",), "harness export: the following arguments are required: --to."),
    ],
)
def test_mistake_is_one_line(command: Command, workdir: Path, words: tuple[str, ...], message: str) -> None:
    (workdir / "taken.zip").write_text("mine")
    assert command("export", *words) == (2, "", f"harness: error: {message}\n")
    assert (workdir / "taken.zip").read_text() == "mine"
    assert sorted(path.name for path in workdir.iterdir()) == ["outputs", "taken.zip"]


@pytest.mark.parametrize("verb", [("rm", "--all", "--yes"), ("board",)])
def test_bundle_is_only_read(command: Command, verb: tuple[str, ...]) -> None:
    command("export", "ab", "--to", "sent.zip")
    status, _, errors = command(verb[0], "sent.zip", *verb[1:])
    assert status == 2
    assert errors.startswith("harness: error: sent.zip is a bundle, which is only read: unpack it below outputs/")


def test_damaged_bundle_is_one_line(command: Command, workdir: Path) -> None:
    command("export", "ab", "--to", "sent.zip")
    content = (workdir / "sent.zip").read_bytes()
    (workdir / "sent.zip").write_bytes(content[: len(content) // 2])
    status, out, errors = command("report", "sent.zip")
    assert (status, out) == (2, "")
    assert errors.startswith("harness: error: sent.zip is truncated, damaged or no zip file")
    assert errors.count("\n") == 1
