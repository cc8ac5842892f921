"""A plugin for tests of one process, on the import path for a module of tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.results import run_id
from harness.system.session import Session
from tests.helpers.strangers import install


def forget(module: str) -> None:
    """Forget a module and what is in it, as a new process would: another of its name may come."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        del sys.modules[name]
    run_id.forget(module)


@contextmanager
def planted(site: Path, distribution: str, source: str, offers: str | None = None) -> Iterator[None]:
    """Install a plugin into `site`; inside, this process finds it."""
    install(site, distribution, source, offers=offers)
    with pytest.MonkeyPatch.context() as patch, Session():
        patch.syspath_prepend(str(site))
        try:
            yield
        finally:
            forget(distribution.replace("-", "_"))
