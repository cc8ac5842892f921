"""A plugin on the import path of this process, for the tests of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.registry import catalogue
from harness.registry.registry import REGISTRY
from harness.results import run_id
from tests.helpers.strangers import install


def forget(module: str) -> None:
    """Forget a module and its submodules, as a new process would: another of its name may follow."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        del sys.modules[name]
    run_id._first.pop(module, None)


@contextmanager
def planted(site: Path, distribution: str, source: str, offers: str | None = None) -> Iterator[None]:
    """Install a plugin into `site`, so that this process finds it within the context."""
    install(site, distribution, source, offers=offers)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setattr(catalogue, "_current", None)
        patch.setattr(REGISTRY, "_offers", dict(REGISTRY._offers))
        try:
            yield
        finally:
            forget(distribution.replace("-", "_"))
