"""Tests of numbers that are made of several readings, and of diagnostics that are measured at the end."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from harness_claims.claim import parse
from harness_claims.reading import measure
from harness_claims.running import common
from tests.plugins.claims.test_claim import changed

RECORD: Any = SimpleNamespace(
    status="completed",
    metrics={"test/loss": 0.5, "epochs_to_target": math.inf},
    memory={"parts": {"parameters": 100, "optimizer": 200}},
)
PARTS = [{"record": "memory.parts.parameters"}, {"record": "memory.parts.optimizer"}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"sum": PARTS}, 300),
        ({"sum": [*PARTS, {"metric": "test/loss"}]}, 300.5),
        ({"difference": PARTS}, -100),
        ({"ratio": PARTS}, 0.5),
        ({"product": PARTS}, 20000),
        ({"sum": [*PARTS, {"metric": "test/accuracy"}]}, None),
        ({"sum": [*PARTS, {"metric": "epochs_to_target"}]}, None),
    ],
)
def test_combined_readings(row: Any, expected: float | None) -> None:
    assert measure(row).of(RECORD) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [({"sum": PARTS[:1]}, "takes two readings or more"), ({"ratio": [*PARTS, *PARTS]}, "takes two readings, got")],
)
def test_wrong_number_of_readings_is_refused(row: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(row)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({"record": "diagnostics.stages.last.gradient"}, {"diagnostic=[stages]"}),
        ({"curve": "unmoved/value"}, {"diagnostic=[unmoved]", "diagnostic_budget=1000"}),
        ({"metric": "test/loss"}, {"diagnostic=[]"}),
    ],
)
def test_runner_chooses_the_diagnostics_that_are_read(reading: Any, words: set[str]) -> None:
    """A diagnostic that is measured once, at the end, has no budget, which harness refuses as without effect."""
    chosen = {word for word in common(parse("wide", changed("measure", reading))) if word.startswith("diagnostic")}
    assert chosen == words
