"""Tests that changes by the import of a plugin are seen, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.system.session import Session
from harness.testing.importing import imported
from tests.helpers.strangers import install

WAVE = """
@harness.activation
def wave(x):
    \"\"\"A wave for every unit.\"\"\"
    return torch.sin(x)
"""
SOURCES = {
    "loud": ("torch.set_default_dtype(torch.float64)", "failed", "its import changes torch's default dtype"),
    "learned": ("import sklearn", "passed", " s beyond numpy, torch, sklearn, pytorch_lightning"),  # which changes some
}


@pytest.mark.parametrize("name", SOURCES)
def test_import_that_changes_the_process_is_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, status, finding = SOURCES[name]
    install(tmp_path, name, f"import torch\n{source}\n{WAVE}", offers="wave")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Session():
        (result,) = imported([(name, name)])
    assert (result.component, result.check, result.status) == (name, "imports", status)
    assert result.finding.endswith(finding)
