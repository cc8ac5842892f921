"""Tests that every planted fault is found by its check, and by no other."""

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
COMPANY = {f"optimizer/{name}" for name in faults.company.BY}  # some are correct alone: see test_company.py
Results = Callable[[str], list[Result]]


@pytest.fixture(scope="module")
def results_of(planted: None) -> Results:
    """Return the results of all checks of a component of the planted plugin."""

    def look(label: str) -> list[Result]:
        kind, _, name = label.partition("/")
        subject = Subject(catalogue.current().get(kind, name))
        slow = {"fused", "recorded"}  # they train
        whole = label in RIGHT or faults.EXPECTED[label] in slow
        return [subject.result(check.name) for check in subject.checks if whole or check.name not in slow]

    return look


def failed(results: list[Result]) -> dict[str, str]:
    return {result.check: result.finding for result in results if result.status == "failed"}


@pytest.mark.parametrize("label", faults.EXPECTED)
def test_planted_fault_is_found(label: str, results_of: Results) -> None:
    wrong = failed(results_of(label))
    assert list(wrong) == [faults.EXPECTED[label]], wrong
    assert len(wrong[faults.EXPECTED[label]]) > 20, "the finding says what is wrong"


@pytest.mark.parametrize("label", sorted(RIGHT))
def test_correct_component_passes(label: str, results_of: Results) -> None:
    results = results_of(label)
    assert failed(results) == {}
    assert {"gradient", "fused"} <= {result.check for result in results}


def test_declared_skip_is_reported(results_of: Results) -> None:
    results = {result.check: result for result in results_of("activation/binarized")}
    assert results["gradient"].status == "skipped"
    assert "straight-through" in results["gradient"].finding


def test_every_check_finds_a_planted_fault() -> None:
    """A check without a fault that makes it fail would be useless."""
    assert set(faults.EXPECTED.values()) == set(CHECKS)
    assert len(faults.EXPECTED) >= 30


def test_checks_after_a_failed_prerequisite_are_skipped(results_of: Results) -> None:
    results: dict[str, Any] = {result.check: result for result in results_of("activation/other_shape")}
    assert results["gradient"].status == "skipped"
    assert results["gradient"].finding == "not tried: builds failed"


def test_check_command_lists_what_failed(results_of: Results, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "activation/right", "activation/undocumented", "--only", "documented,schema"]) == 1
    shown = capsys.readouterr().out
    assert "activation/right         ok      2 passed" in shown
    assert "activation/undocumented  FAILED  1 passed, 1 failed" in shown
    assert "documented, failed: it has no docstring: " in shown
    assert "2 checked: 3 passed, 1 failed, 0 skipped; 1 to fix" in shown


def test_all_components_of_a_plugin_are_checked(results_of: Results, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "planted", "--json", "--only", "documented"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["component"] for row in rows} == faults.EXPECTED.keys() | RIGHT | COMPANY
    wrong = {row["component"] for row in rows if row["status"] == "failed"}
    assert wrong == {label for label, check in faults.EXPECTED.items() if check == "documented"}
