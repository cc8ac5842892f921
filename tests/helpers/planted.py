"""A plugin on the import path of this process, for the tests of a module."""

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
    """Forget a module and its submodules, as a new process would: another of its name may follow."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        del sys.modules[name]
    run_id.forget(module)


@contextmanager
def planted(site: Path, distribution: str, source: str, offers: str | None = None) -> Iterator[None]:
    """Install a plugin into `site`, so that this process finds it within the context."""
    install(site, distribution, source, offers=offers)
    with pytest.MonkeyPatch.context() as patch, Session():
        patch.syspath_prepend(str(site))
        try:
            yield
        finally:
            forget(distribution.replace("-", "_"))
