"""Resources of the machine that a run uses: processor threads and memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from harness.system.errors import says_out_of_memory
from harness.system.process_state import report

WORK_PER_THREAD = 50_000_000  # multiplications and additions of a step that justify one more thread


def choose_threads(work: int | None, batch_size: int, most: int) -> int:
    """Return the number of processor threads for a run.

    A small step finishes before a second thread has woken up. The number depends on the work alone, so the rounding of
    a run's sums does not depend on what else the machine does.

    Args:
        work: Multiplications and additions of one sample's forward pass; None if unknown. A step costs three times as
            much for each sample of the batch.
        batch_size: Samples in a batch.
        most: The largest number to return.

    >>> choose_threads(52_000, 64, most=8), choose_threads(10_000_000, 64, most=8), choose_threads(None, 64, most=8)
    (1, 8, 8)
    """
    return most if work is None else min(most, 1 + 3 * work * batch_size // WORK_PER_THREAD)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Context in which torch computes with `count` threads; reports a component that changes their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        if (new := torch.get_num_threads()) != count:
            report(f"a component changed torch's number of threads from {count} to {new}; it was put back")
        torch.set_num_threads(before)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return True if an exception, or one of its causes, reports a lack of memory on the device or the host."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and says_out_of_memory(str(error)):
            return True
        error = error.__cause__
    return False


def free_bytes(device: str) -> int:
    """Return the free memory, in bytes, for runs on a device: the GPU's for `"cuda"`, else the host's."""
    return int(torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available)
