"""Tests of commands from plugins: found without importing the plugin, and run like a built-in command."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.analysis.report.findings import print_findings
from harness.cli import main
from harness.cli.completion import complete
from harness.cli.verbs import built_in
from harness.registry import catalogue
from harness.registry.command import built_in_names
from harness.registry.scanning import scan_cache
from harness.results.record import Record
from harness.system.session import Session
from tests.helpers.planted import planted

SOURCE = """
import sys


def arguments(parser):
    parser.add_argument("study", metavar="STUDY|OVERRIDE", nargs="*")
    parser.add_argument("--metric", default="val/loss")
    parser.add_argument("--faster", action="store_true")


def best(args):
    if args.metric == "typo":
        raise harness.HarnessError("no such metric")
    if args.metric == "fault":
        return {}["x"]
    if args.metric == "exits":
        sys.exit("gone")
    if args.metric == "mute":
        return None
    print(args.study, args.metric, args.faster)
    return 1 if args.metric == "bad" else 0


def parts(parser):
    parser.add_subparsers(dest="part", required=True).add_parser("one").add_argument("--size", type=int)


@harness.hookimpl
def harness_commands():
    best_of = harness.Command("best-of", "The best run of a study.\\n\\nBy one metric.", arguments, best)
    return [best_of, harness.Command("parted", "In parts.", parts, lambda args: print(args.size) or 0)]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    with planted(folder, "ranks", SOURCE):
        yield folder


@pytest.fixture
def run_line(site: Path, workdir: Path, capsys: pytest.CaptureFixture[str]):
    """Return the exit status of a line, its standard output and its standard error."""

    def run(*words: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        return stop.value.code, *capsys.readouterr()

    return run


def test_catalogue_has_commands_without_importing_their_plugin(run_line) -> None:
    sys.modules.pop("ranks", None)
    assert catalogue.current().commands["best-of"] == {
        "name": "best-of",
        "help": "The best run of a study.",
        "flags": {
            "-h": None,
            "--help": None,
            "--metric": {"takes": [], "choices": [], "many": False},
            "--faster": None,
        },
        "arguments": [{"takes": ["STUDY", "OVERRIDE"], "choices": [], "many": True}],
        "plugin": "ranks",
        "origin": "ranks",
    }
    assert re.search(r"^  harness best-of +The best run of a study\.$", run_line("--help")[1], re.MULTILINE)
    assert run_line("help")[1] == run_line("--help")[1]
    assert re.search(r"^ranks .* installed +0  best-of, parted$", run_line("plugins")[1], re.MULTILINE)
    status, _, errors = run_line("best-off")
    assert (status, errors) == (
        2,
        "harness: error: no command 'best-off'. Did you mean 'best-of'? An override is KEY=VALUE.\n",
    )
    assert "ranks" not in sys.modules


def test_scan_of_commands_is_kept(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue.read()

    def scanned(plugin: str, distribution: str) -> None:
        raise AssertionError(f"{distribution} is scanned again")

    monkeypatch.setattr(scan_cache, "_scan", scanned)
    assert catalogue.read().commands == known.commands


def test_completion_has_plugin_commands_and_their_words(site: Path, workdir: Path) -> None:
    sys.modules.pop("ranks", None)
    (workdir / "outputs" / "deep").mkdir(parents=True)
    assert complete(["best"]) == ["best-of"]
    assert complete(["best-of", "--"]) == ["--help", "--metric", "--faster"]
    assert complete(["best-of", "--faster", "--f"]) == []
    assert complete(["best-of", "de"]) == ["deep"]
    assert complete(["best-of", "optimizer=sg"]) == ["optimizer=sgd"]
    assert complete(["best-of", "--metric", "de"]) == []
    assert complete(["best-of", "deep", "de"]) == ["deep"]
    assert complete(["parted", ""]) == ["one"]
    assert "ranks" not in sys.modules


def test_plugin_command_runs(run_line) -> None:
    assert run_line("best-of", "a", "--faster", "b") == (0, "['a', 'b'] val/loss True\n", "")
    assert run_line("best-of", "--metric", "bad")[0] == 1
    assert run_line("parted", "one", "--size", "3") == (0, "3\n", "")
    status, text, _ = run_line("best-of", "--help")
    assert (status, run_line("help", "best-of")[1]) == (0, text)
    assert text.startswith("usage: harness best-of")
    assert "The best run of a study. By one metric." in text


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["--mertic", "x"], 2, r"harness best-of: .*--mertic.* Did you mean '--metric'\?"),
        (["--metric", "typo"], 2, "no such metric"),
        (["--metric", "fault"], 1, r"command 'best-of' failed: KeyError: 'x' \(HYDRA_FULL_ERROR=1 shows where\)"),
        (["--metric", "exits"], 1, "command 'best-of' failed: SystemExit: gone .*"),
        (["--metric", "mute"], 1, r"command 'best-of' failed: .* exit status \(0: done\), got None .*"),
    ],
)
def test_mistake_is_one_line(run_line, words: list[str], status: int, line: str) -> None:
    code, out, errors = run_line("best-of", *words)
    assert (code, out) == (status, "")
    assert re.fullmatch(f"harness: error: {line}\n", errors)


def test_command_of_a_blocked_plugin_is_unknown(run_line, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_BLOCK", "ranks")
    with Session():
        status, _, errors = run_line("best-of")
    assert status == 2
    assert "no command 'best-of'." in errors
    assert "Left out: ranks (blocked); see harness plugins" in errors


def test_built_in_commands_are_found() -> None:
    assert [built_in(name).name for name in built_in_names()] == [*built_in_names()]
    assert {"list", "show-data", "rm"} < {*built_in_names()}


FINDINGS = """
@harness.hookimpl
def harness_findings(records):
    if records[0].study == "faulty":
        raise KeyError("x")
    return [f"{record.name} is {record.status}" for record in records]
"""


def record(study: str, seed: int, cached: bool = False) -> Record:
    return Record(f"{seed:012x}", f"seed={seed}", study, status="completed", cached=cached)


def test_findings_are_printed_and_a_failing_hook_is_a_warning(
    tmp_path: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with planted(tmp_path, "looks", FINDINGS):
        print_findings([record("fine", 1, cached=True)])
        assert capsys.readouterr().out == ""
        print_findings([record("fine", 1, cached=True), record("fine", 2), record("fine", 3)])
        assert capsys.readouterr().out == "  looks     seed=2 is completed\n  looks     seed=3 is completed\n"
        with pytest.warns(UserWarning, match=r"harness_findings of plugin looks \(looks\) failed: KeyError: 'x'"):
            print_findings([record("faulty", 4)])
