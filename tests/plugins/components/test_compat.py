"""Tests of private APIs used by components: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import pytest
from loky import process_executor

from harness_components import _compat


def test_growing_workers_of_loky_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_USE_PSUTIL"
    assert hasattr(process_executor, name), "workers whose memory grows end: the switch has another name"
    monkeypatch.setattr(process_executor, name, True)
    _compat.keep_growing_workers()
    assert getattr(process_executor, name) is False
