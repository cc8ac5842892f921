"""Tests that no link is followed out of a study for writing or deleting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution.locks.run_lock import RunLocks, holders, tidy
from harness.results import index
from harness.results.record import Record, read
from harness.results.run_dir import open_folder
from harness.results.study import load
from harness.system import safe_files
from harness.system.errors import CannotWrite, HarnessError
from tests.security.conftest import Command, bad

RUN = ["epochs=1", "model=mlp", "model.width=4", "diagnostic=[]", "study=dl"]


@pytest.mark.parametrize("make", ["symlink", "link"])
def test_linked_index_is_not_appended_to(
    make: str, study: Path, mine: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MANY", 1)
    monkeypatch.setattr(index, "SETTLED_NS", 0)
    getattr(os, make)(mine / "notes", study / ".index.jsonl")
    if make == "symlink":
        with pytest.warns(UserWarning, match=r"\.index\.jsonl is a link, and is not used: remove it"):
            assert len(load("dl")) == 2
    else:
        assert len(load("dl")) == 2


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("id", ["../../../x", "..", "/etc/x", "", "a" * 12 + "\n", "ABCDEF012345", "0" * 13, 3, None])
def test_invalid_id_is_not_removed(id: Any, study: Path, mine: Path, command: Command) -> None:
    folder = bad(study, id=id)
    status, out, _ = command("rm", "dl", "--all", "--yes")
    assert (status, out.splitlines()[-1]) == (0, "removed 2 runs")
    assert folder.is_dir()


def test_linked_owners_folder_is_neither_read_nor_removed(study: Path, mine: Path, command: Command) -> None:
    (study / ".owners").symlink_to(mine)
    tidy(study)
    for use in (lambda: RunLocks(study), lambda: holders(study)):
        with pytest.raises(HarnessError, match=r"\.owners is a link"):
            use()
    status, _, errors = command("rm", "dl", "--all", "--yes")
    assert status == 2
    assert errors.count("\n") == 1
    assert "is a link" in errors


@pytest.mark.parametrize("make", ["symlink", "link"])
def test_linked_lock_file_is_not_truncated(make: str, study: Path, mine: Path) -> None:
    (study / ".owners").mkdir()
    getattr(os, make)(mine / "notes", study / ".owners" / ".lock")
    with pytest.raises(HarnessError, match=r"\.lock is a link"):
        RunLocks(study)


def test_links_in_a_run_folder_are_replaced(study: Path, mine: Path) -> None:
    folder = study / f"seed=0-{0:012x}"
    for name in ("curves.csv", "log.txt", "weights.pt", "checkpoint.pt"):
        (folder / name).symlink_to(mine / "notes")
    for name in (".hydra", "projector"):
        (folder / name).symlink_to(mine)
    (folder / "record.json").unlink()
    (folder / "record.json").symlink_to(mine / "notes")
    open_folder(Record("0" * 12, "seed=0", "dl", config={"seed": 0}, folder=folder), [], "")
    assert {path.name for path in folder.iterdir()} == {".hydra", "record.json"}
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert read(folder) is not None


def test_linked_hydra_files_are_replaced(study: Path, mine: Path) -> None:
    folder = study / f"seed=0-{0:012x}"
    (folder / ".hydra").mkdir()
    os.link(mine / "config.yaml", folder / ".hydra" / "config.yaml")
    (folder / ".hydra" / "overrides.yaml").symlink_to(mine / "notes")
    open_folder(Record("0" * 12, "seed=0", "dl", config={"seed": 0}, folder=folder), [], "")
    assert (folder / ".hydra" / "config.yaml").read_text() == "seed: 0\n"


def test_linked_run_folder_is_not_opened(study: Path, mine: Path) -> None:
    (study / "run").symlink_to(mine)
    with pytest.raises(CannotWrite, match="run is a link"):
        open_folder(Record("0" * 12, "a", "dl", folder=study / "run"), [], "")


def test_training_in_a_linked_study_is_refused(workdir: Path, mine: Path) -> None:
    (workdir / "outputs").mkdir()
    (workdir / "outputs" / "dl").symlink_to(mine)
    with pytest.raises(HarnessError, match="dl is a link; harness does not write through links"):
        harness.run(RUN)


def test_outputs_on_another_disk_work(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    disk = tmp_path_factory.mktemp("disk")
    (workdir / "outputs").symlink_to(disk)
    record = harness.run(RUN)
    assert record.status == "completed"
    assert len(load("dl")) == len(list((disk / "dl").glob("*/record.json"))) == 1


def test_rm_removes_links_and_not_their_targets(study: Path, mine: Path, command: Command) -> None:
    for run in study.iterdir():
        (run / "more").symlink_to(mine)
        (run / "notes").symlink_to(mine / "notes")
    (study / "linked").symlink_to(mine)
    assert command("rm", "dl", "--all", "--yes")[1].splitlines()[-1] == "removed 2 runs"


def test_rm_refuses_a_linked_study(study: Path, workdir: Path, command: Command) -> None:
    (workdir / "outputs" / "other").symlink_to(study)
    status, _, errors = command("rm", "other", "--all", "--yes")
    assert status == 2
    assert "is a link, which rm does not follow: harness rm " in errors
    assert len(load("dl")) == 2


@pytest.mark.parametrize("make", ["symlink", "link", "mkfifo", "mkdir"])
def test_append_writes_to_plain_files_only(make: str, mine: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    if make in ("symlink", "link"):
        getattr(os, make)(mine / "notes", path)
    else:
        getattr(os, make)(path)
    with pytest.raises(OSError):  # noqa: PT011
        safe_files.append(path, b"x")


def test_append_creates_and_extends(tmp_path: Path) -> None:
    for _ in range(2):
        safe_files.append(tmp_path / "log.txt", b"x")
    assert (tmp_path / "log.txt").read_bytes() == b"xx"


def test_owner_file_of_the_future_blocks_nobody(study: Path) -> None:
    import time

    (study / ".owners").mkdir()
    path = study / ".owners" / f"{0:012x}.json"
    for text in ("", "{}", '{"host": "elsewhere"}', '{"pid": [1], "host": {}}', '{"note": 3}', "[" * 5000):
        path.write_text(text)
        os.utime(path, (time.time() + 1e6, time.time() + 1e6))
        assert holders(study) == {}
        with RunLocks(study) as claims:
            assert claims.claim([f"{0:012x}"]) == [f"{0:012x}"]
