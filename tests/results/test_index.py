"""Tests that reading through the index always equals reading the record files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.results import index
from harness.results.index import INDEX, by_id, read_all
from harness.results.record import FILE, Record, from_json, write
from harness.results.study import load

ENVIRONMENT = {"python": "3.11", "torch": "2.8", "plugins": {"harness": "0.1", "more": "2"}, "device": "cpu"}


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an index for few records too, and trust files of any age, so that no test waits."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(index, "MANY", 1)
    monkeypatch.setattr(index, "SETTLED_NS", 0)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the runs whose record file is read from now on."""
    names: list[str] = []
    read_row = index.read_row

    def read_through_index(folder: Path) -> Any:
        names.append(folder.name)
        return read_row(folder)

    monkeypatch.setattr(index, "read_row", read_through_index)
    return names


def run(folder: Path, seed: int = 0, **more: Any) -> Record:
    """Write a record into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"seed": seed, "optimizer": {"_component_": "sgd", "lr": 0.1, "betas": [0.9, 0.99]}, "regularizer": {}}
    fields: dict[str, Any] = {"status": "completed", "config": config, "metrics": {"val/loss": 0.5 + seed}}
    record = Record(f"{seed:012x}", f"seed={seed}", "s", **fields | {"environment": ENVIRONMENT} | more, folder=folder)
    write(record)
    return record


def study(folder: Path, runs: int = 5) -> Path:
    """Write runs of different seeds."""
    for seed in range(runs):
        run(folder / f"seed={seed}-{seed:012x}", seed)
    return folder


def plainly(root: Path) -> list[tuple[Path, str]]:
    """Read every file without an index."""
    records = []
    for path in sorted(root.rglob(FILE)):
        try:
            records.append((path.parent, from_json(path.read_text(), path.parent).to_json()))
        except (ValueError, TypeError):
            continue
    return records


def read_through_index(root: Path) -> list[tuple[Path, str]]:
    """Read through the index; the text shows the order of keys, and 1 apart from 1.0 and true."""
    return [(record.folder, record.to_json()) for record in read_all(root)]


leaves = st.none() | st.booleans() | st.integers(0, 2) | st.floats() | st.sampled_from(["", "nan", "a", "ä\n"])
values = st.recursive(
    leaves, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from("abc"), v, max_size=3), max_leaves=8
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "delete", "tear", "foreign", "cut", "garbage", "lose"]),
        st.sampled_from(["a", "b", "in/c", "in/d", "in/e"]),
        st.dictionaries(st.sampled_from(["config", "metrics", "diagnostics", "environment"]), values, max_size=3),
    ),
    max_size=12,
)


def _step(root: Path, what: str, name: str, more: dict[str, Any]) -> None:
    folder, kept = root / name, root / INDEX
    if what == "delete":
        shutil.rmtree(folder, ignore_errors=True)
    elif what == "write":
        run(folder, **{key: value if isinstance(value, dict) else {"x": value} for key, value in more.items()})
    elif what == "foreign" and (folder / FILE).exists():  # of another version: unknown keys, and missing ones
        (folder / FILE).write_text(json.dumps({"schema": 1, "id": "0" * 12, "name": "f", "study": "s", "new": more}))
    elif what == "tear" and (folder / FILE).exists():
        (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-20])
    elif what == "lose":
        kept.unlink(missing_ok=True)
    elif what == "cut" and kept.exists():
        kept.write_bytes(kept.read_bytes()[: -len(name) * 9])
    elif what == "garbage" and kept.exists():
        kept.write_bytes(
            kept.read_bytes() + b'{}\n[]\n3\n["a", 1, 2, 3]\n\xff\n{"format": 1, "base": "x", "row": 3}\n["a", '
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_index_equals_the_files_after_any_changes(happens: list[tuple[str, str, dict[str, Any]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for tick, (what, name, more) in enumerate(happens):
            _step(root, what, name, more)
            if (root / name / FILE).exists():  # a test is faster than the clock of a file system
                os.utime(root / name / FILE, ns=(tick, tick))
            assert read_through_index(root) == plainly(root)
        assert read_through_index(root) == plainly(root)


def test_unchanged_records_are_not_opened(tmp_path: Path, opened: list[str]) -> None:
    root = study(tmp_path)
    first = read_through_index(root)
    assert len(opened) == 5
    assert read_through_index(root) == first
    assert len(opened) == 5
    run(root / f"seed=3-{3:012x}", 9)
    assert [record.config["seed"] for record in read_all(root)] == [0, 1, 2, 9, 4]
    assert opened[5:] == [f"seed=3-{3:012x}"]


def _now(folder: Path) -> int:
    (folder / "clock").write_text("")
    return (folder / "clock").stat().st_ctime_ns


@pytest.mark.parametrize("young", [True, False])
def test_change_that_keeps_name_size_and_time_is_noticed(
    young: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = study(tmp_path)
    path = root / f"seed=3-{3:012x}" / FILE
    monkeypatch.setattr(index, "SETTLED_NS", 2_000_000_000 if young else 0)
    for old, new in (("seed=3", "seed=X"), ("seed=X", "seed=3")):
        assert read_all(root)[3].name == old
        before = path.stat()
        while not young and _now(tmp_path) == before.st_ctime_ns:
            pass  # two changes within one clock tick are distinguished only for young files
        path.write_text(path.read_text().replace(old, new))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
        assert read_all(root)[3].name == new


def test_young_files_are_not_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]) -> None:
    monkeypatch.setattr(index, "SETTLED_NS", 2_000_000_000)
    root = study(tmp_path)
    assert read_through_index(root) == read_through_index(root) == plainly(root)
    assert len(opened) == 10
    assert not (root / INDEX).exists()


def test_studies_are_found_and_other_folders_ignored(tmp_path: Path) -> None:
    study(tmp_path / "b", 2)
    study(tmp_path / "a" / "deep", 2)
    run(tmp_path / "a-b" / "x", 7)
    expected = plainly(tmp_path)
    run(tmp_path / ".removed-1" / "x")
    run(tmp_path / "b" / ".owners")
    run(tmp_path / "a-b" / "x" / "inner")
    os.symlink(tmp_path / "b", tmp_path / "again")
    (tmp_path / "b" / "torn").mkdir()
    (tmp_path / "b" / "torn" / FILE).write_text("{")
    assert read_through_index(tmp_path) == read_through_index(tmp_path) == expected
    assert read_through_index(tmp_path / "a-b" / "x") == expected[2:3]
    assert read_through_index(tmp_path / "nowhere") == []


def test_few_records_need_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MANY", 6)
    assert len(load(study(tmp_path))) == 5
    assert not (tmp_path / INDEX).exists()


def test_records_share_no_objects(tmp_path: Path) -> None:
    root = study(tmp_path, 2)
    for _ in range(2):
        one, other = read_all(root)
        one.environment["plugins"]["harness"] = "changed"
        one.config["optimizer"]["betas"].append(1)
        assert other.environment == ENVIRONMENT
        assert other.config["optimizer"]["betas"] == [0.9, 0.99]
    assert read_through_index(root) == plainly(root)


def test_unwritable_index_is_no_error(tmp_path: Path) -> None:
    root = study(tmp_path)
    (root / INDEX).mkdir()  # as unwritable as a read-only folder, even for root
    assert read_through_index(root) == read_through_index(root) == plainly(root)


def test_equal_values_are_written_once(tmp_path: Path) -> None:
    root = study(tmp_path, 40)
    read_all(root)
    text = (root / INDEX).read_text()
    assert text.count('"plugins"') == 1
    assert len(text) < sum(path.stat().st_size for path in root.rglob(FILE)) / 2


def test_index_is_compacted(tmp_path: Path) -> None:
    root = study(tmp_path, 20)
    for again in range(12):
        for seed in range(10):
            run(root / f"seed={seed}-{seed:012x}", seed, metrics={"val/loss": float(again)})
        assert read_through_index(root) == plainly(root)
        assert len((root / INDEX).read_text().splitlines()) <= 2 * 21
    shutil.rmtree(root / f"seed=0-{0:012x}")  # the record that the others are stored as differences to
    assert read_through_index(root) == read_through_index(root) == plainly(root)


def test_lines_of_another_format_are_ignored(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = study(tmp_path)
    for version in (1, 2, 2, 1):  # two environments that share a study
        monkeypatch.setattr(index, "FORMAT", version)
        assert read_through_index(root) == plainly(root)
    assert len(opened) == 5 + 5 + 5


def test_concurrent_readers_agree(tmp_path: Path, opened: list[str]) -> None:
    root = study(tmp_path, 60)
    expected = plainly(root)
    with ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(read_through_index, [root] * 16))
    opened.clear()
    assert read_through_index(root) == expected
    assert opened == []


@pytest.mark.parametrize(
    "write_to", [lambda p: p.unlink(), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"\0")]
)
def test_lost_index_is_made_again(tmp_path: Path, opened: list[str], write_to: Callable[[Path], Any]) -> None:
    root = study(tmp_path)
    read_all(root)
    write_to(root / INDEX)
    assert read_through_index(root) == read_through_index(root) == plainly(root)
    assert len(opened) == 10


def test_runs_are_found_by_id(tmp_path: Path, opened: list[str]) -> None:
    root = study(tmp_path / "s", 3)
    run(root / f"again-{1:012x}", 1)
    run(root / f".removed-{7:012x}", 7)
    run(root / "nested" / f"seed=8-{8:012x}", 8)
    run(root / "no-id", 9)
    (root / f"empty-{5:012x}").mkdir()
    (root / f"file-{6:012x}").write_text("")
    expected = {f"{seed:012x}": root / f"seed={seed}-{seed:012x}" for seed in range(3)}
    assert by_id(root) == expected | {f"{1:012x}": root / f"again-{1:012x}"}  # the first of two by name
    assert by_id(tmp_path / "nowhere") == {}
    assert opened == []
