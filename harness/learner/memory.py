"""How much memory training takes, and when it was short."""

from __future__ import annotations

import torch

from harness.build import Parts
from harness.learner.plan import Plan

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


def estimate(parts: Parts, plan: Plan) -> int:
    """Bytes that one member takes beside others: its weights, their gradients, two numbers of an optimizer's state and
    what a step makes on the way, and the activations of a batch with their gradients.
    """
    weights = sum(p.numel() * p.element_size() for p in parts.model.parameters())
    size = next((p.element_size() for p in parts.model.parameters()), 4)
    return 5 * weights + 3 * plan.samples * (parts.probe.activations or 0) * size
