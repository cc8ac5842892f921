"""Tests of the data frame of records: its columns, their types, and missing values."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pandas
import pytest

import harness
from harness.results.record import Record, Records

RESULTS = [
    "parameters", "epochs_made", "steps_made", "fit_s", "share_s", "total_s", "path", "test_size", "error_type",
    "folder",
]  # fmt: skip


def run(seed: int = 0, **more: Any) -> Record:
    """A completed run."""
    fields: dict[str, Any] = {
        "status": "completed",
        "config": {"seed": seed, "same": [1]},
        "metrics": {"val/loss": 0.5 + seed},
        "model": {"parameters": 100},
        "data": {"test": 360},
        "time": {"epochs": 2, "steps": 20, "fit_s": 1.5, "share_s": 0.5, "total_s": 2.5},
        "cohort": {"path": "fused"},
        "folder": Path("outputs/s") / f"seed={seed}",
    }
    return Record(f"{seed:012x}", f"seed={seed}", "s", **fields | more)


def test_columns_of_complete_runs() -> None:
    table = Records([run(0), run(1)]).to_pandas()
    assert list(table) == ["id", "name", "study", "status", "seed", "val/loss", *RESULTS]
    types = dict.fromkeys(("seed", "parameters", "epochs_made", "steps_made", "test_size"), "int64")
    types |= dict.fromkeys(("val/loss", "fit_s", "share_s", "total_s"), "float64")
    assert {name: str(table[name].dtype) for name in types} == types
    row = table.loc[1].to_dict()
    assert row | {"error_type": None} == {
        "id": "000000000001", "name": "seed=1", "study": "s", "status": "completed", "seed": 1, "val/loss": 1.5,
        "parameters": 100, "epochs_made": 2, "steps_made": 20, "fit_s": 1.5, "share_s": 0.5, "total_s": 2.5,
        "path": "fused", "test_size": 360, "error_type": None, "folder": str(Path("outputs/s/seed=1")),
    }  # fmt: skip


def test_missing_values_are_pandas_na_and_integers_stay_integers() -> None:
    nodes: list[dict[str, Any]] = [
        {"_component_": "a", "int": 1, "float": 0.5, "bool": True, "text": "x", "mixed": 1, "betas": [0.9, 1]},
        {"_component_": "a", "int": None, "float": None, "bool": None, "text": None, "mixed": "auto", "betas": None},
        {"_component_": "b"},
    ]
    broken = {"status": "failed", "model": {}, "time": {}, "cohort": {}, "data": {}, "metrics": {"val/loss": math.nan}}
    records = [run(i, config={"seed": i, "optimizer": node}) for i, node in enumerate(nodes)]
    records.append(run(3, config={"seed": 3}, error={"type": "ValueError"}, **broken))
    table = Records(records).to_pandas()
    expected = {
        "seed": "int64", "optimizer": "string", "optimizer.int": "Int64", "optimizer.float": "Float64",
        "optimizer.bool": "boolean", "optimizer.text": "string", "optimizer.mixed": "object",
        "optimizer.betas": "object", "val/loss": "Float64", "parameters": "Int64", "epochs_made": "Int64",
        "steps_made": "Int64", "fit_s": "Float64", "share_s": "Float64", "total_s": "Float64", "path": "string",
        "test_size": "Int64", "error_type": "string",
    }  # fmt: skip
    assert {name: str(table[name].dtype) for name in expected} == expected
    missing = [value for name in table for value in table[name] if pandas.isna(value) is True]
    assert len(missing) == 30
    assert all(value is pandas.NA for value in missing)
    assert table["optimizer.betas"][0] == (0.9, 1)
    assert table[table.optimizer == "a"].index.tolist() == [0, 1]


def test_columns_without_any_value_keep_their_type() -> None:
    table = Records([run(i, metrics={"val/loss": math.nan}, model={}) for i in range(2)]).to_pandas()
    assert str(table["val/loss"].dtype) == "Float64"
    assert str(table["parameters"].dtype) == "Int64"
    assert table["error_type"].isna().all()
    assert len(Records([]).to_pandas()) == 0


def test_values_that_no_type_holds_are_objects() -> None:
    values: list[dict[str, Any]] = [
        {"int": 10**400, "mixed": 10**400, "text": "\ud800", "node": {"a": []}, "optimizer": [{"b": 1}]},
        {"int": 1, "mixed": 0.5, "text": "a", "node": [], "optimizer": {"c": None}},
    ]
    table = Records([run(i, config=config) for i, config in enumerate(values)]).to_pandas()
    assert [table[name].tolist() for name in ("int", "mixed", "text")] == [
        [10**400, 1],
        [10**400, 0.5],
        ["\ud800", "a"],
    ]
    assert table["optimizer"].tolist() == [("{'b': 1}",), pandas.NA]


def test_metric_takes_the_place_of_a_result_of_its_name() -> None:
    table = Records([run(0, metrics={"parameters": 7.5})]).to_pandas()
    assert table["parameters"].tolist() == [7.5]
    assert table.columns.is_unique


def test_list_kind_is_one_column_beside_its_settings() -> None:
    lists: list[dict[str, Any]] = [{}, {"l2": {"strength": 0.1}}, {"l2": {"strength": 0.2}, "dropout": {"p": 0.5}}]
    records = [
        run(i, config={"regularizer": {name: {"_component_": name} | node for name, node in chosen.items()}})
        for i, chosen in enumerate(lists)
    ]
    table = Records(records).to_pandas()
    settings = ["regularizer", "regularizer.l2.strength", "regularizer.dropout.p"]
    assert [name for name in table if name.startswith("regularizer")] == settings
    assert table["regularizer"].tolist() == ["none", "l2", "l2+dropout"]
    assert table["regularizer.dropout.p"].tolist() == [pandas.NA, pandas.NA, 0.5]


def test_experiments_and_presets_are_columns() -> None:
    values = [{"experiment": "a", "optimizer": "slow"}, {"experiment": "b", "optimizer": "fast"}]
    config = {"optimizer": {"_component_": "sgd"}}
    records = Records([run(i, config=config, swept=list(v), swept_values=v) for i, v in enumerate(values)])
    table = records.to_pandas()
    assert table["experiment"].tolist() == ["a", "b"]
    assert table["optimizer"].tolist() == ["slow", "fast"]
    assert "experiment" not in records[:1].to_pandas()


def test_table_of_factors(workdir: Path) -> None:
    quick = ["epochs=1", "data.n=100", "diagnostic=[]", "logger=[]", "save=none", "path=alone", "executor=in_process"]
    harness.sweep([*quick, "data=moons", "seed=10,9", "optimizer=sgd,adam", "study=t"])
    records = harness.load("t")
    table = records.to_pandas(factors_only=True)
    assert records.factors() == {"seed": [9, 10], "optimizer": ["adam", "sgd"]}
    assert list(table) == ["seed", "optimizer", "status", *records[0].metrics]
    assert table["seed"].tolist() == [9, 9, 10, 10]
    assert len(records[:2]) == 2
    assert "4 runs, 4 completed" in repr(records)


@pytest.mark.slow
def test_ten_thousand_records_are_read_in_seconds() -> None:
    def node(name: str) -> dict[str, Any]:
        return {"_component_": name, "lr": 0.1} | {f"setting{i}": i for i in range(5)}

    kinds = {kind: node("x") for kind in ("data", "model", "loss", "task", "activation", "scheduler")}
    records = Records(
        [
            run(
                i,
                config=kinds
                | {"seed": i // 100, "optimizer": node(f"o{i % 10}"), "regularizer": {f"r{i % 7}": node("r")}},
                metrics={f"metric{m}": i / 7 for m in range(10)},
            )
            for i in range(10_000)
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.PerformanceWarning)
        table = records.to_pandas()
        table["new"] = 1
    assert len(table) == 10_000
