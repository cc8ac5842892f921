"""Choose the number of threads of a run. A small step is faster on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.system.process_state import report

WORK = 50_000_000  # multiplications and additions of a step that one more thread is worth


def threads(work: int | None, batch_size: int, most: int) -> int:
    """Return the number of threads for an amount of work, whatever else the machine does.

    Args:
        work: The operations of the forward pass of one sample, or None. A step takes three times as many.
        batch_size: The samples in a step.
        most: The largest number of threads.

    >>> threads(52_000, 64, most=8), threads(10_000_000, 64, most=8), threads(None, 64, most=8)
    (1, 8, 8)
    """
    return most if work is None else min(most, 1 + 3 * work * batch_size // WORK)


@contextmanager
def using(count: int) -> Iterator[None]:
    """Make torch compute with so many threads inside the context. Warn if a component changes their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        if (new := torch.get_num_threads()) != count:
            report(f"a component changed torch's number of threads from {count} to {new}; it was put back")
        torch.set_num_threads(before)
