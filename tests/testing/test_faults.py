"""Every planted fault is found by the check that is to find it, and by no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.cli.main import dispatch
from harness.registry import catalogue
from harness.testing.suite import CHECKS, Result, Subject
from tests.testing import faults

RIGHT = {"activation/right", "activation/binarized"}
COMPANY = {f"optimizer/{name}" for name in faults.company.BY}  # some are right by themselves: test_company.py
Found = Callable[[str], list[Result]]


@pytest.fixture(scope="module")
def found(planted: None) -> Found:
    """What the checks find of one component of the planted plugin."""

    def look(label: str) -> list[Result]:
        kind, _, name = label.partition("/")
        subject = Subject(catalogue.current().get(kind, name))
        whole = label in RIGHT or faults.EXPECTED[label] == "fused"  # it trains, which takes longer than all the others
        return [subject.result(check.name) for check in subject.checks if whole or check.name != "fused"]

    return look


def failed(results: list[Result]) -> dict[str, str]:
    return {result.check: result.finding for result in results if result.status == "failed"}


@pytest.mark.parametrize("label", faults.EXPECTED)
def test_a_planted_fault_is_found(label: str, found: Found) -> None:
    wrong = failed(found(label))
    assert list(wrong) == [faults.EXPECTED[label]], wrong
    assert len(wrong[faults.EXPECTED[label]]) > 20, "the finding says what is wrong"


@pytest.mark.parametrize("label", sorted(RIGHT))
def test_what_is_right_passes(label: str, found: Found) -> None:
    results = found(label)
    assert failed(results) == {}
    assert {"gradient", "fused"} <= {result.check for result in results}


def test_a_declared_skip_is_told(found: Found) -> None:
    told = {result.check: result for result in found("activation/binarized")}
    assert told["gradient"].status == "skipped"
    assert "straight-through" in told["gradient"].finding


def test_every_check_is_shown_to_find_something() -> None:
    """A check that no fault of these makes fail might as well not be there."""
    assert set(faults.EXPECTED.values()) == set(CHECKS)
    assert len(faults.EXPECTED) >= 30


def test_what_a_failure_makes_useless_is_not_tried(found: Found) -> None:
    told: dict[str, Any] = {result.check: result for result in found("activation/other_shape")}
    assert told["gradient"].status == "skipped"
    assert told["gradient"].finding == "not tried: builds failed"


def test_the_command_line_tells_what_is_to_be_mended(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "activation/right", "activation/undocumented", "--only", "documented,schema"]) == 1
    shown = capsys.readouterr().out
    assert "activation/right         ok      2 passed" in shown
    assert "activation/undocumented  FAILED  1 passed, 1 failed" in shown
    assert "documented, failed: it has no docstring: " in shown
    assert "2 checked: 3 passed, 1 failed, 0 skipped; 1 to fix" in shown


def test_a_plugin_is_checked_whole(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "planted", "--json", "--only", "documented"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["component"] for row in rows} == faults.EXPECTED.keys() | RIGHT | COMPANY
    wrong = {row["component"] for row in rows if row["status"] == "failed"}
    assert wrong == {label for label, check in faults.EXPECTED.items() if check == "documented"}
