"""What importing a plugin leaves behind is seen in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import catalogue
from harness.testing.importing import imported
from tests.helpers.strangers import install

SOURCE = """
import torch

torch.set_default_dtype(torch.float64)

@harness.activation
def wave(x):
    \"\"\"A wave for every unit.\"\"\"
    return torch.sin(x)
"""


def test_an_import_that_changes_the_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "loud-plugin", SOURCE, offers="wave")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(catalogue, "_current", None)
    (found,) = imported([("loud-plugin", "loud-plugin")])
    assert (found.component, found.check, found.status) == ("loud-plugin", "imports", "failed")
    assert found.finding == "its import changes torch's default dtype"
