"""Tests that objects which stay are not walked by the garbage collector, and that garbage still is."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from harness.system.garbage import uncollected
from tests.helpers.commands import python

COUNT = """
import gc, sys
from harness.system.garbage import keep_all, uncollected
collections = []
gc.callbacks.append(lambda phase, info: collections.append(info["generation"]) if phase == "stop" else None)
if "keep" in sys.argv:
    keep_all()
with uncollected():
    made = [[] for _ in range(200_000)]
print(len(collections), gc.get_freeze_count() > 200_000, gc.isenabled())
"""


class Node:
    """An object in a cycle with itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize(("words", "frozen"), [((), False), (("keep",), True)])
def test_block_is_not_collected(words: tuple[str, ...], frozen: bool, tmp_path: Path) -> None:
    assert python(COUNT, *words, cwd=tmp_path).split() == ["0", str(frozen), "True"]


def test_garbage_of_a_block_is_collected_later() -> None:
    with uncollected():
        gone = weakref.ref(Node())
        assert gone() is not None
    gc.collect()
    assert gone() is None


def test_disabled_collector_stays_disabled() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_command_ends_without_a_search_for_garbage(workdir: Path) -> None:
    source = "import atexit, gc\nfrom harness.cli import main\n"
    source += "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\nmain()"
    assert python(source, "--version", cwd=workdir).split()[-1] == "True"
