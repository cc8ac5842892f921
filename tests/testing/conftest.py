"""The planted plugin, installed as by pip."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.registry import catalogue
from harness.system.session import Session
from tests.helpers.planted import forget
from tests.testing import faults


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the components of tests/testing/faults under the distribution `planted` during a test."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(Path(faults.__file__).parent, site / "planted", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "planted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nplanted = planted\n")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    with Session():
        assert not catalogue.current().problems
        yield
    sys.path.remove(str(site))
    forget("planted")
