"""Tests of settings of `task=auto` and `loss=auto`: the component that `auto` stands for gets them."""

from __future__ import annotations

import pytest

import harness
from harness.config.composition import compose
from harness.execution.preparation import Preparation, RunSpec


def prepared(*words: str) -> RunSpec:
    return Preparation().prepare(compose(["logger=[]", "diagnostic=[]", "trainer=cpu", *words]))


@pytest.mark.parametrize(
    ("auto", "named"),
    [
        (["data=diabetes", "task.standardize=false"], ["data=diabetes", "task=regression", "task.standardize=false"]),
        (
            ["data=diabetes", "task={standardize: false}"],
            ["data=diabetes", "task=regression", "task.standardize=false"],
        ),
        (["data=iris", "loss.weights=balanced"], ["data=iris", "loss=cross_entropy", "loss.weights=balanced"]),
        (
            ["data=moons", "task=binary_classification", "loss.weights=balanced"],
            ["data=moons", "task=binary_classification", "loss=bce", "loss.weights=balanced"],
        ),
    ],
)
def test_auto_with_settings_equals_the_named_component(auto: list[str], named: list[str]) -> None:
    a, b = prepared(*auto), prepared(*named)
    assert a.values["task"] == b.values["task"]
    assert a.values["loss"] == b.values["loss"]
    assert a.record.id == b.record.id


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["data=iris", "task.standardize=false"],
            r"standardize is a setting of regression \(task=auto is classification",
        ),
        (["data=iris", "loss.delta=2"], r"delta is a setting of huber and .* \(loss=auto is cross_entropy here\)"),
        (["data=iris", "loss.weights=balance"], "loss.weights must be one of none, balanced, got 'balance'"),
        (["data=diabetes", "task.standardize=3"], "task.standardize must be true or false, got 3"),
        (["task.standardise=false"], r"unknown key 'task\.standardise'. Did you mean 'task\.standardize'"),
    ],
)
def test_setting_unknown_to_the_component_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message) as refused:
        prepared(*words)
    assert len(str(refused.value).splitlines()) == 1


def test_settings_of_auto_can_be_swept(workdir) -> None:  # type: ignore[no-untyped-def]
    line = ["logger=[]", "diagnostic=[]", "trainer=cpu", "data=moons", "data.n=60", "batch_size=16", "epochs=1"]
    records = harness.sweep([*line, "loss.weights=none,balanced", "executor=in_process"])
    assert [record.config["loss"]["weights"] for record in records] == ["none", "balanced"]
    assert len({record.id for record in records}) == 2
