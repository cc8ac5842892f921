"""When memory was short."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "failed to allocate")


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception says that memory was short, on a device or on the host."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS):
            return True
        error = error.__cause__
    return False
