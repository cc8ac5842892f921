"""Tests of the place of studies: `output_root`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import harness
from harness.system.errors import HarnessError

LINE = ["data=iris", "epochs=1", "model=mlp", "model.width=8", "logger=[]", "diagnostic=[]", "study=far"]


def test_studies_are_written_to_another_root_and_found_there(workdir: Path) -> None:
    here = harness.run(LINE)
    far = harness.run([*LINE, "output_root=disk/studies"])
    assert (far.id, far.metrics, far.cached) == (here.id, here.metrics, False)
    assert far.folder.parent == workdir / "disk/studies/far"
    assert harness.run([*LINE, "output_root=disk/studies"]).cached
    assert [record.id for record in harness.load("disk/studies/far")] == [far.id]


def test_a_tuned_sweep_keeps_its_trials_there_too(workdir: Path) -> None:
    line = [*LINE, "optimizer=sgd,adam", "tune.budget=1", "tune.seeds=1", f"output_root={workdir / 'disk'}"]
    assert len(harness.sweep(line)) == 2
    assert not Path("outputs").exists()
    assert list(Path("disk/far").rglob("record.json"))


def test_links_below_the_root_are_not_followed(workdir: Path) -> None:
    (workdir / "disk").mkdir()
    (workdir / "other").mkdir()
    (workdir / "disk/far").symlink_to(workdir / "other")
    with pytest.raises(HarnessError, match="is a link"):
        harness.run([*LINE, "output_root=disk"])


def test_an_empty_root_is_refused(workdir: Path) -> None:
    with pytest.raises(HarnessError, match="output_root must name a folder, got ''"):
        harness.run([*LINE, "output_root=''"])


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_a_group_may_write_all_folders_of_a_shared_root(workdir: Path) -> None:
    root = workdir / "class"
    root.mkdir()
    root.chmod(0o2775)
    before = os.umask(0o002)
    try:
        harness.sweep([*LINE, "seed=0,1", "callback=[lightning_model_checkpoint]", f"output_root={root}"])
    finally:
        os.umask(before)
    folders = [path for path in root.rglob("*") if path.is_dir()]
    assert len(folders) > 4
    closed = [path for path in folders if stat.S_IMODE(path.stat().st_mode) & 0o2070 != 0o2070]
    assert closed == []
