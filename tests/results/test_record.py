"""Tests of records: their text, their durability, and the table of a study."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.results.record import FILE, STATUSES, Record, Records, flat, from_json, read, write, write_together
from harness.results.study import study_folder
from harness.system import safe_files
from harness.system.safe_files import TOGETHER, write_file

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


@pytest.mark.parametrize("fails", ["fsync", "replace"])
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


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each sync and each rename is added from now on."""
    order: list[str] = []
    fsync, replace, whole = os.fsync, os.replace, safe_files._sync_file_system
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), replace(a, b))[1])
    monkeypatch.setattr(safe_files, "_sync_file_system", lambda path: (order.append("all"), whole(path))[1])
    return order


def several(root: Path, count: int) -> list[Record]:
    records = [Record(f"{n:012x}", "a", "s", "completed", folder=root / str(n)) for n in range(count)]
    for record in records:
        record.folder.mkdir()
        (record.folder / "weights.pt").touch()
    return records


@pytest.mark.parametrize("count", [1, TOGETHER])
def test_files_of_records_are_synced_before_any_record_is_renamed(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, order = several(tmp_path, count), counted(monkeypatch)
    write_together(records, [record.folder / "weights.pt" for record in records])
    if count == 1 or safe_files._syncfs() is None:
        each = ["fsync"] * count
        assert [call for call in order if call != "all"] == [*each, *each, *["rename"] * count, *each]
    else:
        assert order == ["all", *["rename"] * count, "all"]  # all contents, then all names
    assert [read(record.folder) for record in records] == records


def test_many_files_are_synced_one_by_one_without_syncfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_files, "_syncfs", lambda: lambda handle: -1)  # as a system that refuses it
    records, order = several(tmp_path, TOGETHER), counted(monkeypatch)
    write_together(records, [])
    assert [call for call in order if call != "all"] == [*["fsync"] * TOGETHER, *["rename"] * TOGETHER] + [
        "fsync"
    ] * TOGETHER
    assert [read(record.folder) for record in records] == records


def test_fault_in_one_of_many_files_renames_none(tmp_path: Path) -> None:
    records = several(tmp_path, 3)
    shutil.rmtree(records[1].folder)
    with pytest.raises(FileNotFoundError):
        write_together(records, [])
    assert [read(record.folder) for record in records] == [None] * 3
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []


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


def test_table_of_a_notebook_escapes_what_a_record_holds() -> None:
    record = Record("0" * 12, "<b>name</b>", "s", "completed", metrics={"test/<i>": 0.123456, "val/loss": 1.0})
    many = Records([record] * 21)
    for text in (record._repr_html_(), many._repr_html_()):
        assert "&lt;b&gt;name&lt;/b&gt;" in text
        assert "<td>0.1235</td>" in text
        assert not {"<b>", "<i>"} & set(re.findall("<[a-z]+>", text))
    assert many._repr_html_().endswith("<p>and 1 more runs</p>")
    assert "val/loss" not in many._repr_html_()
