"""What a component changes in the process is put back, and told."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from harness.process_state import kept


def test_changes_are_put_back_and_told(workdir: Path) -> None:
    told: list[str] = []
    with kept(told.append):
        os.chdir("/")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
    assert Path.cwd() == workdir
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert len(told) == 3
    assert told[0] == f"the working folder was changed from {workdir} to /; it was put back"


def test_nothing_changed_is_not_told() -> None:
    told: list[str] = []
    with kept(told.append):
        pass
    assert told == []
