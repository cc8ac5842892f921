"""Tests of grouping: runs of one shape can be stacked, and differences that change the shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.composition import compose
from harness.execution.preparation import Preparation, RunSpec
from harness.execution.sweep.grouping import groups, shape, unfusable


def prepared(*lines: list[str]) -> list[RunSpec]:
    preparation = Preparation()
    return [preparation.prepare(compose(["model=mlp", *line])) for line in lines]


@pytest.mark.parametrize(
    "other",
    [
        ["seed=7"],
        ["optimizer=sgd"],
        ["optimizer.lr=0.3"],
        ["initializer=zeros"],
        ["split.seed=1"],
        ["executor=loky", "jobs=3"],
        ["rerun=true"],
    ],
)
def test_runs_of_one_shape_may_differ(workdir: Path, other: list[str]) -> None:
    one, two = prepared([], other)
    assert shape(one) == shape(two)


@pytest.mark.parametrize(
    "other",
    [
        ["model.width=9"],
        ["activation=tanh"],
        ["epochs=3"],
        ["batch_size=32"],
        ["normalization=batch_norm"],
        ["regularizer=[l2]"],
        ["study=other"],
        ["save=best"],
    ],
)
def test_runs_of_different_shapes(workdir: Path, other: list[str]) -> None:
    one, two = prepared([], other)
    assert shape(one) != shape(two)


def test_penalty_strengths_do_not_change_the_shape(workdir: Path) -> None:
    l2 = "regularizer=[l2]"
    weak, strong = prepared([l2, "regularizer.l2.strength=0.1"], [l2, "regularizer.l2.strength=0.2"])
    assert shape(weak) == shape(strong)


def test_equal_optimizers_are_neighbours(workdir: Path) -> None:
    lines = [[f"optimizer.lr={lr}", f"seed={seed}"] for seed in (0, 1) for lr in (0.1, 0.2)]
    (group,) = groups(prepared(*lines))
    assert [m.values["optimizer"]["lr"] for m in group] == [0.1, 0.1, 0.2, 0.2]


def test_unfusable_names_the_reason(workdir: Path) -> None:
    free, fixed = prepared([], ["path=alone"])
    assert (unfusable(free), unfusable(fixed)) == ("", "path=alone")
