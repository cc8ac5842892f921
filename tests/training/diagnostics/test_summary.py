"""Tests of the summary of diagnostics in a record."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas
import pytest

import harness
from harness.training.diagnostics.summary import TAGS, Summary


def test_summary_has_first_last_and_extremes_without_nan() -> None:
    summary = Summary()
    for step, value in enumerate([math.nan, 3.0, 1.0, math.inf, math.nan, 2.0]):
        summary.add({"a/b/c": value, "text/value": "words"}, step, 0)
    (row,) = summary.rows().values()
    extremes = {key: row[key]["b/c"] for key in ("first", "last", "min", "max")}
    assert math.isnan(extremes.pop("first"))
    assert extremes == {"last": 2.0, "min": 1.0, "max": math.inf}


@pytest.mark.parametrize(
    ("values", "extremes"),
    [
        ([1.0, 2.0, 3.0], [{}, {}]),
        ([3.0, 2.0, 1.0], [{}, {}]),
        ([2.0], [{}, {}]),
        ([math.nan, math.nan], [{}, {}]),
        ([2.0, 1.0, 2.0], [{"a": 1.0}, {}]),
        ([math.nan, 5.0, 4.0], [{}, {"a": 5.0}]),
        ([1.0, 1.0000001, 1.0], [{}, {}]),  # the same in six digits
    ],
)
def test_extremes_that_are_the_first_or_the_last_value_are_left_out(values, extremes) -> None:
    summary = Summary()
    for step, value in enumerate(values):
        summary.add({"d/a": value}, step, 0)
    row = summary.rows()["d"]
    assert [row["min"], row["max"]] == extremes
    assert [list(row[key]) for key in ("first", "last")] == [["a"], ["a"]]


def test_summary_of_a_deep_network_keeps_first_and_last_layers() -> None:
    summary = Summary()
    summary.add({f"dead/layer{i}": float(i) for i in range(200)}, 0, 0)
    row = summary.rows()["dead"]
    assert list(row["first"]) == [f"layer{i}" for i in (*range(12), *range(188, 200))]
    assert row["left_out"] == 200 - TAGS


LINE = ["data=iris", "epochs=5", "logger=[]"]
SEVERAL = [*LINE, "diagnostic=[dead_units,train_val_gap,loss_slice]", "diagnostic_budget=1000"]


def test_record_has_the_same_summary_alone_and_in_a_stack(workdir: Path) -> None:
    alone = harness.run([*SEVERAL, "study=s", "seed=1"])
    curves = pandas.read_csv(alone.folder / "curves.csv")
    for name in ("dead_units", "train_val_gap"):
        row = alone.diagnostics[name]
        for tag in row["first"]:
            values = curves[curves.metric == f"{name}/{tag}"].value
            assert len(values) == row["looks"]
            first, last = row["first"][tag], row["last"][tag]
            extremes = row["min"].get(tag, min(first, last)), row["max"].get(tag, max(first, last))
            summaries = [first, last, *extremes]
            assert summaries == pytest.approx(
                [values.iloc[0], values.iloc[-1], values.min(), values.max()], rel=1e-5, abs=0
            )
    assert alone.diagnostics["dead_units"]["looks"] == 10
    assert alone.diagnostics["loss_slice"]["first"] == alone.diagnostics["loss_slice"]["last"]
    stacked = harness.sweep([*SEVERAL, "study=t", "seed=1,2", "path=fused", "executor=in_process"])[0]
    assert stacked.cohort["path"] == "fused"
    for name in ("dead_units", "train_val_gap"):
        for key in ("first", "last"):
            expected = alone.diagnostics[name][key]
            assert stacked.diagnostics[name][key] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    again = harness.load("s")[0]
    assert again.diagnostics == json.loads(json.dumps(alone.diagnostics))


def test_nonfinite_values_survive_the_record(workdir: Path) -> None:
    record = harness.run([*LINE, "study=s", "optimizer=sgd", "optimizer.lr=1e30", "diagnostic=[gradient_norm]"])
    (loaded,) = harness.load("s")
    assert record.status == "diverged"
    text = json.loads((record.folder / "record.json").read_text())["diagnostics"]["gradient_norm"]["last"]["all"]
    assert isinstance(loaded.diagnostics["gradient_norm"]["last"]["all"], float)
    assert isinstance(text, (float, str))
    assert repr(loaded.diagnostics) == repr(record.diagnostics)
