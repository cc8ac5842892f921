"""A plugin for tests of one process, on the import path for a module of tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.registry import catalogue
from harness.registry.registry import REGISTRY
from tests.helpers.strangers import install


@contextmanager
def planted(site: Path, distribution: str, source: str, offers: str | None = None) -> Iterator[None]:
    """Install a plugin into `site`; inside, this process finds it."""
    install(site, distribution, source, offers=offers)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setattr(catalogue, "_current", None)
        patch.setattr(REGISTRY, "_offers", dict(REGISTRY._offers))
        try:
            yield
        finally:
            sys.modules.pop(distribution.replace("-", "_"), None)
