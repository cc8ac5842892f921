"""Fixtures for tests of sweeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.execution.sweep.commands import Forking
from tests.execution.sweep.commands import forking as forked


@pytest.fixture(scope="package")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """Start commands by forking, which is fast."""
    with forked(tmp_path_factory.mktemp("site")) as forker:
        yield forker
