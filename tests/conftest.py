"""Fixtures for all tests: an empty working folder, one thread, and a separate catalogue cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("harness", deadline=None)  # no test depends on the speed of the machine
settings.load_profile("harness")

ROOT = Path(__file__).resolve().parent.parent

# Before any import of torch: tests run in parallel, and a thread pool each would compete for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HARNESS_CACHE"] = str(ROOT / ".pytest_cache" / "harness")
os.environ.pop("HARNESS_BLOCK", None)


@pytest.fixture(autouse=True)
def leaves_the_process() -> Iterator[None]:
    """Check that a test keeps the working folder and what harness sets for the processes that it starts."""
    before = _left()
    yield
    after = _left()
    if after != before:
        os.chdir(before[0])
        pytest.fail(f"the test leaves {after} in place of {before}")


def _left() -> tuple[str, ...]:
    return os.getcwd(), *(os.environ.get(name, "-") for name in ("PYTHONSAFEPATH", "HYDRA_FULL_ERROR", "LOCAL_RANK"))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
