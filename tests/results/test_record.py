"""Tests of records: their text, their durability, and the table of a study."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.results.record import FILE, STATUSES, Record, flat, from_json, read, write
from harness.results.study import study_folder
from harness.system.safe_files import write_file

values = st.one_of(st.floats(), st.integers(-(2**53), 2**53).map(float))
names = st.sampled_from(["train/loss", "val/loss", "val/accuracy", "test/mse"])


@given(
    metrics=st.dictionaries(names, values),
    status=st.sampled_from(STATUSES),
    config=st.dictionaries(
        st.text(min_size=1), st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
    ),
)
def test_record_survives_its_text(metrics: dict[str, float], status: str, config: dict[str, Any]) -> None:
    finite = {k: v for k, v in config.items() if not (isinstance(v, float) and math.isinf(v))}
    record = Record("0" * 12, "a", "s", status, metrics=metrics, config=finite)
    text = record.to_json()
    json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are no valid JSON
    again = from_json(text, Path())
    assert repr(again.metrics) == repr(metrics)  # nan equals nan here
    assert again.config == finite
    assert again.status == status


def test_nonfinite_numbers_are_strings() -> None:
    record = Record("0" * 12, "a", "s", metrics={"a": math.nan, "b": math.inf, "c": -math.inf})
    assert json.loads(record.to_json())["metrics"] == {"a": "nan", "b": "inf", "c": "-inf"}


def test_schema_comes_first_and_an_unknown_one_is_refused() -> None:
    text = Record("0" * 12, "a", "s").to_json()
    assert next(iter(json.loads(text))) == "schema"
    with pytest.raises(ValueError, match="schema 2"):
        from_json(text.replace('"schema": 1', '"schema": 2'), Path())


@pytest.mark.parametrize("fails", ["fsync", "replace", "chmod"])
def test_fault_while_writing_keeps_the_old_record(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Record("0" * 12, "old", "s", folder=tmp_path)
    write(old)

    def fault(*args: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, fault)
        with pytest.raises(OSError, match="no space"):
            write(Record("0" * 12, "new", "s", folder=tmp_path))
    kept = read(tmp_path)
    assert kept is not None
    assert kept.name == "old"
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_file_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), replace(a, b))[1])
    write_file(tmp_path / "a", b"text")
    assert order == ["fsync", "rename", "fsync"]  # the file, its name, the folder that holds the name
    assert (tmp_path / "a").read_bytes() == b"text"


def test_unreadable_file_is_no_record(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    for text in ("", "{", "[]", '{"schema": 1}', '{"schema": 1, "id": 3, "unknown": 1}'):
        (tmp_path / FILE).write_text(text)
        assert read(tmp_path) is None, text


def test_flat_config_has_dotted_keys() -> None:
    config = {
        "seed": 0,
        "optimizer": {"_component_": "sgd", "lr": 0.1},
        "regularizer": {"l2": {"_component_": "l2", "strength": 1}},
    }
    assert flat(config) == {
        "seed": 0,
        "optimizer": "sgd",
        "optimizer.lr": 0.1,
        "regularizer.l2": "l2",
        "regularizer.l2.strength": 1,
    }


def test_record_on_one_line_holds_the_same() -> None:
    record = Record("0" * 12, "a", "s", config={"a": [1, {"b": math.inf}], "lr": (0.1, 1)}, metrics={"x": math.nan})
    assert record.to_json(None).count("\n") == 1
    assert json.loads(record.to_json(None)) == json.loads(record.to_json())


def test_study_name_is_found_under_outputs_first(workdir: Path) -> None:
    for folder in ("swirl/src", "outputs/swirl", "lone"):
        (workdir / folder).mkdir(parents=True)
    assert study_folder("swirl") == Path("outputs/swirl")
    assert study_folder("./swirl") == study_folder(Path("swirl")) == Path("swirl")
    assert study_folder("lone") == Path("lone")
    assert study_folder("outputs/swirl") == Path("outputs/swirl")
    assert study_folder(str(workdir / "swirl")) == workdir / "swirl"


def test_unknown_study_is_refused_with_a_suggestion(workdir: Path) -> None:
    (workdir / "outputs" / "scratch").mkdir(parents=True)
    with pytest.raises(harness.HarnessError, match=r"no study 'scrach'.*'scratch'"):
        harness.load("scrach")
