"""Tests of exported tables: other programs read what `to_pandas` returns."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

import harness
from harness.analysis.export.tables import table, write_table
from harness.results.record import Record
from harness.system.errors import HarnessError
from tests.helpers.saved import save
from tests.helpers.studies import record


@pytest.fixture
def records(workdir: Path) -> list[Record]:
    """Five runs with every type of column: integers, floats, booleans, texts, lists, mixed types and missing values."""
    values = [1e-3, 0.1, None, 0.25, 1e300]
    names = ["sgd", "adam", "sgd", "adam", "sgd"]
    made = [
        record({"optimizer": names[i], "optimizer.lr": lr, "seed": i, "regularizer": ["l2"] * (i > 2)}, 0.5)
        for i, lr in enumerate(values)
    ]
    made[1].config["optimizer"]["betas"] = [0.9, 0.999]
    for i, run in enumerate(made):
        run.config["optimizer"]["nesterov"] = bool(i % 2)
        run.config["epochs"] = [5, 5.5, "many", True, None][i]
        run.config["label"] = f"naïve \u202e '{i}', \"x\"\nnew line"
    made[3] = replace(made[3], metrics={"val/accuracy": math.nan, "test/accuracy": math.inf})
    made[4] = replace(made[4], status="failed", metrics={}, error={"type": "ValueError", "message": "x"})
    return save(workdir / "outputs" / "ab", made)


def test_pandas_reads_the_frame_of_the_records(records: list[Record], workdir: Path) -> None:
    write_table(records, Path("ab.parquet"))
    read, frame = pandas.read_parquet("ab.parquet"), harness.load("ab").to_pandas()
    assert list(read.columns) == list(frame.columns)
    assert read["folder"].tolist() == [run.folder.name for run in records]
    assert [json.loads(text) if isinstance(text, str) else None for text in read["epochs"]] == [
        None if value is pandas.NA else value for value in frame["epochs"]
    ]
    plain = [name for name in frame.columns if frame[name].dtype != object and name != "folder"]
    assert {"seed", "optimizer.lr", "optimizer.nesterov", "test/accuracy", "status", "share_s"} <= set(plain)
    pandas.testing.assert_frame_equal(read[plain], frame[plain], check_exact=True)


def test_polars_and_duckdb_read_the_same_values(records: list[Record], workdir: Path) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    write_table(records, Path("ab.parquet"))
    frame = table(records)
    expected = [tuple(None if x is pandas.NA else x for x in row) for row in frame.itertuples(index=False, name=None)]
    read = polars.read_parquet("ab.parquet")
    assert read.columns == list(frame.columns)
    assert read.rows() == expected
    answer = duckdb.sql("SELECT * FROM 'ab.parquet'")
    assert answer.columns == list(frame.columns)
    assert answer.fetchall() == expected
    mean = duckdb.sql("SELECT optimizer, count(*) FROM 'ab.parquet' GROUP BY optimizer ORDER BY optimizer").fetchall()
    assert mean == [("adam", 2), ("sgd", 3)]


def test_csv_has_the_same_rows(records: list[Record], workdir: Path) -> None:
    write_table(records, Path("ab.csv"))
    read = pandas.read_csv("ab.csv", keep_default_na=False, na_values={"test/accuracy": [""], "optimizer.lr": [""]})
    frame = table(records)
    assert list(read.columns) == list(frame.columns)
    assert read["label"].tolist() == frame["label"].tolist()
    for name in ("optimizer.lr", "test/accuracy"):
        expected = frame[name].astype("float64").tolist()
        assert read[name].tolist() == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def test_taken_and_unwritable_paths_are_refused(records: list[Record], workdir: Path) -> None:
    Path("taken.csv").write_text("mine")
    with pytest.raises(HarnessError, match=r"^taken.csv exists: remove it, or choose another name$"):
        write_table(records, Path("taken.csv"))
    with pytest.raises(HarnessError, match=r"^cannot write no/x.parquet: No such file or directory$"):
        write_table(records, Path("no/x.parquet"))
    assert Path("taken.csv").read_text() == "mine"
    assert sorted(path.name for path in workdir.iterdir()) == ["outputs", "taken.csv"]
