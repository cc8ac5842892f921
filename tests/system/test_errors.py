"""Tests of error lines that name the owner of a folder, and of overrides given as one string."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import harness
from harness.system.errors import CannotWrite


def test_error_names_the_owner_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "outputs" / "lesson"
    study.mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != study and real(path, mode))
    text = str(CannotWrite.from_os_error(study / ".owners", OSError(errno.EACCES, "Permission denied")))
    assert text.startswith(f"cannot write {study}/.owners: Permission denied. {study} belongs to {study.owner()}: ")
    assert f"chmod -R g+rwXs {study}" in text
    assert "study=NAME" in text
    assert (
        str(CannotWrite.from_os_error(study, OSError(errno.ENOSPC, "No space left")))
        == f"cannot write {study}: No space left"
    )


def test_overrides_in_one_string_are_refused_with_the_list_to_write() -> None:
    with pytest.raises(harness.HarnessError, match=r"write harness\.run\(\['epochs=2', 'seed=1'\]\), not a text"):
        harness.run("epochs=2 seed=1")
    with pytest.raises(harness.HarnessError, match=r"write harness\.sweep\(\['seed=0,1'\]\)"):
        harness.sweep("seed=0,1")
    with pytest.raises(harness.HarnessError, match="a list of texts"):
        harness.run([{"epochs": 2}])  # type: ignore[list-item]
