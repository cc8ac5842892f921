"""Tests of a comparison as JSON, CSV and rows."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.comparison.model import Comparison
from harness.analysis.report.rows import (
    DIFFERENCE,
    EFFECT,
    FAILURE,
    arm_rows,
    difference_rows,
    effect_rows,
    failure_rows,
    to_csv,
    to_json,
)  # fmt: skip
from tests.helpers.comparisons import builders, hostile_names, one_data_set, two_factors, with_failures

BUILDERS = builders()


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for item in value.values() for n in _numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in _numbers(item)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("name", BUILDERS)
def test_json_has_every_field_and_finite_numbers(name: str) -> None:
    comparison = BUILDERS[name]
    data = json.loads(to_json(comparison))
    assert data.pop("schema") == 1
    assert list(data) == [f.name for f in fields(Comparison)]
    assert np.isfinite(_numbers(data)).all()
    assert [table["data"] for table in data["tables"]] == [table.data for table in comparison.tables]
    for table, read in zip(comparison.tables, data["tables"], strict=True):
        assert [arm["values"] for arm in read["arms"]] == [dict(arm.values) for arm in table.arms]
        assert [d["pairs"] for d in read["differences"]] == [dict(d.pairs) for d in table.differences]


def test_json_writes_numbers_that_are_not_finite_as_null() -> None:
    comparison = one_data_set()
    table = comparison.tables[0]
    arm = replace(table.arms[0], mean=float("nan"), sd=float("inf"), runs=np.int64(3), levels={"lr": np.float32(0.5)})
    read = json.loads(to_json(replace(comparison, tables=[replace(table, arms=[arm])])))["tables"][0]["arms"][0]
    assert (read["mean"], read["sd"], read["runs"], read["levels"]) == (None, None, 3, {"lr": 0.5})


@pytest.mark.parametrize("name", BUILDERS)
def test_csv_has_a_row_for_each_arm_and_data_set(name: str) -> None:
    comparison = BUILDERS[name]
    rows = list(csv.DictReader(io.StringIO(to_csv(arm_rows(comparison)))))
    tables = [*comparison.tables, *([comparison.overall] if comparison.overall else [])]
    arms = [arm for table in tables for arm in table.arms]
    assert [row["mean"] for row in rows] == ["" if arm.mean is None else repr(arm.mean) for arm in arms]
    assert [int(row["completed"]) for row in rows] == [arm.completed for arm in arms]


def test_rows_have_levels_and_the_difference_to_the_reference() -> None:
    comparison = two_factors()
    rows = arm_rows(comparison)
    table = comparison.tables[0]
    assert [(row["activation"], row["initializer"]) for row in rows] == [tuple(a.levels.values()) for a in table.arms]
    assert (rows[0]["against"], rows[0]["verdict"]) == (None, None)
    last = table.difference(rows[-1]["arm"])
    assert last is not None
    assert (rows[-1]["against"], rows[-1]["estimate"], rows[-1]["verdict"]) == (
        table.reference, last.estimate, last.verdict,
    )  # fmt: skip


def test_every_pair_effect_and_failure_is_a_row() -> None:
    comparison = two_factors()
    assert [(row["arm"], row["against"]) for row in difference_rows(comparison)] == [
        (d.arm, d.against) for d in comparison.tables[0].differences
    ]
    assert all(tuple(row) == DIFFERENCE for row in difference_rows(comparison))
    assert len(effect_rows(comparison)) == len(comparison.effects) > 0
    assert all(tuple(row) == EFFECT for row in effect_rows(comparison))
    failures = failure_rows(with_failures())
    assert failures[0]["findings"].count("\n") == 1
    assert all(tuple(row) == FAILURE for row in failures)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1+2", "@SUM(1)", "\t=1", " =1", "=\x1b[31m"])
def test_names_are_no_formulas_in_csv(name: str) -> None:
    header, row = csv.reader(io.StringIO(to_csv([{name: name, "n": -0.5}])))
    for cell in (header[0], row[0]):
        assert cell[0] not in "=+-@\t "
        assert "\x1b" not in cell
    assert row[1] == "-0.5"


def test_hostile_names_are_one_csv_cell() -> None:
    comparison = hostile_names()
    text = to_csv(arm_rows(comparison))
    assert not set("\x1b\u202e") & set(text)
    rows = list(csv.reader(io.StringIO(text)))
    assert {len(row) for row in rows} == {len(rows[0])}
