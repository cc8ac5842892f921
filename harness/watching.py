"""Who watches a sweep: Hydra stands between who starts one and what trains it. Imports no torch, so that a sweep with a
mistake in it is refused without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.record import Record

Done = Callable[[int, int | None, Record], None]  # (place, jobs where they are known, record)
_watchers: list[Done] = []


def tell(place: int, jobs: int | None, record: Record) -> None:
    """Tells all who watch that a run of a sweep has ended."""
    for done in _watchers:
        done(place, jobs, record)


@contextmanager
def watching(done: Done) -> Iterator[None]:
    """Inside, `done` is called after each run of a sweep."""
    _watchers.append(done)
    try:
        yield
    finally:
        _watchers.remove(done)
