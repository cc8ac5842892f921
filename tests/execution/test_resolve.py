"""Tests of the metrics that `metric=[]` stands for on imbalanced classes."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.results.record import Record

LINE = ["epochs=1", "logger=[]", "diagnostic=[]", "save=none"]
UNEVEN = ["data=blobs", "data.classes=2", "corruption=[imbalance]", "corruption.imbalance.ratio=0.1"]


def test_balanced_accuracy_is_measured_beside_accuracy_on_imbalanced_classes(workdir: Path) -> None:
    record = harness.run([*LINE, *UNEVEN])
    assert list(record.config["metric"]) == ["accuracy", "balanced_accuracy"]
    assert {"val/balanced_accuracy", "test/balanced_accuracy"} <= record.metrics.keys()
    assert record.config["objective"] == "val/accuracy"
    again = harness.run([*LINE, *UNEVEN])
    assert again.cached
    binary = harness.run([*LINE, *UNEVEN, "task=binary_classification", "metric=[f1]"])
    assert list(binary.config["metric"]) == ["binary_accuracy", "balanced_accuracy", "f1"]


@pytest.mark.parametrize("words", [["data=breast_cancer"], ["data=wine", "batch_size=16"], ["data=diabetes"]])
def test_other_data_is_measured_by_the_metrics_of_its_task(workdir: Path, words: list[str]) -> None:
    assert len(harness.run([*LINE, *words]).config["metric"]) == 1


def test_runs_of_a_stack_have_balanced_accuracy_as_alone(workdir: Path) -> None:
    def runs(path: str) -> list[Record]:
        return list(harness.sweep([*LINE, *UNEVEN, "seed=0,1", f"path={path}", f"study={path}"]))

    fused, alone = runs("fused"), runs("alone")
    assert {record.cohort["path"] for record in fused} == {"fused"}
    for name in ("test/accuracy", "test/balanced_accuracy"):
        assert [r.metrics[name] for r in fused] == [r.metrics[name] for r in alone]
