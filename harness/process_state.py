"""The state of this process that components share: kept while one of them runs, put back after it, and told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Name: (read, write). Torch is read only where it has been imported.
_PROCESS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {"the working folder": (os.getcwd, os.chdir)}


def _state() -> dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]:
    if "torch" not in sys.modules:
        return _PROCESS
    import torch

    return _PROCESS | {
        "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "torch's default device": (torch.get_default_device, torch.set_default_device),
        "whether torch records gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
        "whether torch is deterministic": (
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
        "torch's precision of float32 products": (
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    }


@contextmanager
def kept(tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Put back what changes inside of the state that components share.

    Args:
        tell: Called with a line for each change, once the state is as it was.
    """
    before = {name: (read(), write) for name, (read, write) in _state().items()}
    try:
        yield
    finally:
        now = _state()
        for name, (old, write) in before.items():
            new = _read(now[name][0])
            if new != old:
                write(old)
                if tell is not None:
                    tell(f"{name} was changed from {old} to {new}; it was put back")


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except FileNotFoundError:  # the working folder was removed
        return "a folder that is gone"
