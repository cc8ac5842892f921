"""How much memory is free, and when it was short."""

from __future__ import annotations

import psutil
import torch

from harness.system.errors import says_out_of_memory


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception says that memory was short, on a device or on the host."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and says_out_of_memory(str(error)):
            return True
        error = error.__cause__
    return False


def free_bytes(device: str) -> int:
    """Of the memory that runs on a device take theirs from."""
    return int(torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available)
