"""How many threads of the processor a run uses: a small step is done before a second thread has woken up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.system.process_state import report

WORK = 50_000_000  # multiplications and additions of a step that one more thread is worth


def threads(work: int | None, batch_size: int, most: int) -> int:
    """A function of the work, so that the sums of a run do not depend on what else the machine does.

    `work` is that of one sample's forward pass; a step is three times as much for each sample of the batch.

    >>> threads(52_000, 64, most=8), threads(10_000_000, 64, most=8), threads(None, 64, most=8)
    (1, 8, 8)
    """
    return most if work is None else min(most, 1 + 3 * work * batch_size // WORK)


@contextmanager
def using(count: int) -> Iterator[None]:
    """Inside, torch computes with so many threads. A component that changes their number is told of."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        if (new := torch.get_num_threads()) != count:
            report(f"a component changed torch's number of threads from {count} to {new}; it was put back")
        torch.set_num_threads(before)
