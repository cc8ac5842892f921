"""Tests of the functions of the package: arguments of a wrong type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness import HarnessError


@pytest.mark.parametrize("wrong", [None, 3, [1]])
@pytest.mark.parametrize("function", [harness.run, harness.sweep])
def test_overrides_of_a_wrong_type_are_refused(function, wrong) -> None:
    with pytest.raises(HarnessError, match="overrides must be a list of texts, each KEY=VALUE"):
        function(wrong)


@pytest.mark.parametrize(
    ("function", "wrong", "base"),
    [
        (harness.run, [len], "RunCallback"),
        (harness.run, [harness.RunCallback], "RunCallback"),
        (harness.run, harness.SweepCallback(), "RunCallback"),
        (harness.sweep, [harness.RunCallback()], "SweepCallback"),
        (harness.sweep, 3, "SweepCallback"),
        (harness.sweep, harness.SweepCallback(), "SweepCallback"),
    ],
)
def test_callbacks_of_a_wrong_type_are_refused_before_anything_is_written(
    function: Any, wrong: object, base: str, workdir: Path
) -> None:
    with pytest.raises(HarnessError, match=rf"must be a list of objects of harness\.{base}, got "):
        function(["epochs=1"], callbacks=wrong)
    assert not (workdir / "outputs").exists()


def test_callbacks_of_an_iterator_are_called(workdir: Path) -> None:
    jobs: list[int] = []

    class Counting(harness.SweepCallback):
        def on_sweep_start(self, count: int) -> None:
            jobs.append(count)

    harness.sweep(["data=iris", "epochs=1", "seed=0,1"], callbacks=iter([Counting()]))
    assert jobs == [2]
