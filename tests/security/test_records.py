"""Tests of bad records: good ones are shown, and one line names each bad one."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness
from harness.analysis.report.failures import reason_and_position
from harness.results import checkpoint, index
from harness.results.curves import read_curves
from harness.results.levels import in_natural_order
from harness.results.record import Record, Records, from_json
from harness.results.study import load
from harness.system.errors import HarnessError
from tests.security.conftest import Command, bad, good

Make = Callable[[Path], Any]


def _text(text: str) -> Make:
    return lambda path: path.write_text(text)


def _nested(depth: int) -> str:
    return '{"schema": 1, "config": ' + '{"a": ' * depth + "1" + "}" * depth + "}"


FILES: dict[str, tuple[Make, str]] = {
    "pipe": (os.mkfifo, "record.json is a pipe"),
    "folder": (os.mkdir, "record.json is a folder"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "record.json is a device"),
    "5000 deep": (_text(_nested(5000)), "nested more than 100 deep"),
    "150 lists": (_text("[" * 150 + "]" * 150), "nested more than 100 deep"),
    "torn": (_text('{"schema": 1'), "torn"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "torn"),
    "a huge number": (_text('{"schema": 1, "metrics": {"a": ' + "9" * 5000 + "}}"), "torn"),
    "too large": (lambda path: os.truncate(_touched(path), 1 << 30), "larger than 16 MB"),
}


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("case", FILES)
def test_file_that_is_no_record_is_left_out(
    case: str, many: bool, study: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        monkeypatch.setattr(index, "MANY", 1)
    make, why = FILES[case]
    (good(study, 0xBAD) / "record.json").unlink()
    make(study / f"seed={0xBAD}-{0xBAD:012x}" / "record.json")
    with pytest.warns(UserWarning, match=why):
        assert [record.id for record in load("dl")] == [f"{0:012x}", f"{1:012x}"]


TYPES: dict[str, Any] = {
    "name": 3, "study": [], "status": "excellent", "error": "boom", "config": [], "choices": {"model": 3},
    "metrics": {"val/loss": "0.5"}, "best": {"val/loss": 3}, "model": {"parameters": "many"}, "data": 3,
    "time": {"fit_s": "long"}, "cohort": {"why": {}}, "memory": "much", "diagnostics": [],
    "environment": {"plugins": 1}, "command": [], "swept": "seed", "swept_values": ["seed"],
    "directions": {"val/loss": "down"},
}  # fmt: skip


@pytest.mark.parametrize("key", TYPES)
def test_wrong_type_in_any_key_is_named(key: str, study: Path, command: Command) -> None:
    folder = bad(study, **{key: TYPES[key]})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, errors = command("report", "dl", "--runs")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["run", "seed=0", "seed=1"]
    assert errors.startswith(f"harness: warning: left out: outputs/dl/{folder.name}/record.json: {key}")
    assert errors.count("\n") == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from([*TYPES, "id", "schema", "new"]), json_values, max_size=4))
def test_any_record_is_reported_or_refused(changes: dict[str, Any]) -> None:
    from harness.analysis.report.summary import sweep_summary
    from harness.analysis.report.table import columns
    from harness.analysis.report.table import run_rows as table_rows

    row = json.loads(Record("0" * 12, "a", "s").to_json()) | changes
    try:
        record = from_json(json.dumps(row), Path("outputs/s/a"))
    except ValueError:
        return
    assert list(table_rows([record], columns([record])))
    assert reason_and_position(record) is not None
    assert len(Records(in_natural_order([record, Record("1" * 12, "b", "s", config={"seed": 1})])).to_pandas()) == 2
    assert sweep_summary([record])
    assert json.loads(record.to_json())["id"] == "0" * 12


@pytest.mark.parametrize(
    "content", [b"\xff\x00\xfe", b"step,epoch\n\n1,2,a,b\n" + b"9" * 5000 + b",0,a,1\n", b'"' * 9, b""]
)
def test_malformed_curves_are_ignored(content: bytes, study: Path) -> None:
    record = load("dl")[0]
    (record.folder / "curves.csv").write_bytes(content)
    assert all(isinstance(step, int) for step, *_ in read_curves(record))


def test_curves_that_are_a_pipe_are_ignored(study: Path, command: Command) -> None:
    for record in load("dl"):
        os.mkfifo(record.folder / "curves.csv")
    status, out, _ = command("doctor", "dl", "--quick")
    assert (status, out.splitlines()[0]) == (0, "2 runs, 2 of them without a finding")


@pytest.mark.parametrize(
    "kept", [[1], {"id": "a"}, {"id": "a", "path": "alone", "member": {"epochs": "x"}, "state": {}}]
)
def test_file_that_is_no_checkpoint_is_refused(kept: Any, tmp_path: Path) -> None:
    import torch

    torch.save(kept, tmp_path / checkpoint.FILE)
    with pytest.raises(checkpoint.UnusableCheckpoint, match="is not a checkpoint of harness"):
        checkpoint.read(tmp_path, "a")
    (tmp_path / checkpoint.FILE).unlink()
    os.mkfifo(tmp_path / checkpoint.FILE)
    with pytest.raises(checkpoint.UnusableCheckpoint, match="a pipe"):
        checkpoint.read(tmp_path, "a")


@pytest.mark.parametrize("case", ["pipe", "text", "objects", "other", "misfit"])
def test_file_that_is_no_weights_is_refused_in_one_line(case: str, study: Path) -> None:
    import torch

    record = load("dl")[0]
    path = record.folder / "weights.pt"
    other = {"state": {"w": torch.zeros(1)}, "inputs": [4], "outputs": 2, "vocabulary": None}
    if case == "pipe":
        os.mkfifo(path)
    elif case == "text":
        path.write_text("no weights")
    else:
        torch.save({"objects": Path("x"), "other": [1], "misfit": other}[case], path)
    with pytest.raises(HarnessError) as refused:
        harness.load_model(record)
    assert "\n" not in str(refused.value)
    assert str(record.folder) in str(refused.value)


def test_special_data_file_is_refused_without_waiting(workdir: Path, command: Command) -> None:
    os.mkfifo("t.csv")
    for path, kind in (("t.csv", "a pipe"), ("/dev/zero", "a device")):
        status, _, errors = command("data=csv", f"data.path={path}", "data.target=y", "study=dl")
        assert status == 2
        assert f"is {kind}, expected a plain file" in errors
    assert not Path("outputs").exists()


def test_board_refuses_a_study_with_a_pipe(study: Path, command: Command) -> None:
    os.mkfifo(study / "events.out.tfevents.1")
    status, _, errors = command("board", "dl")
    assert (status, errors) == (2, "harness: error: outputs/dl/events.out.tfevents.1 is not a plain file: remove it\n")


def test_forged_index_does_not_break_reading(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MANY", 1)
    stamp = list(index._stamp(str(study / f"seed=0-{0:012x}")) or ())
    base = {"format": 1, "base": "b", "row": {"schema": 1, "id": "0" * 12, "name": "n", "study": "s", "metrics": {}}}
    name = f"seed=0-{0:012x}"
    lines: list[Any] = [base]
    lines += [[name, stamp, "b", difference] for difference in (3, [{"metrics": 3}, {}], [{}, {"name": [{}, {}]}])]
    for line in lines[1:]:
        text = "\n".join(json.dumps(one) for one in (base, line))
        (study / ".index.jsonl").write_text(text + "\n" + "[" * 5000 + "\n")
        assert [record.name for record in load("dl")] == ["seed=0", "seed=1"]
