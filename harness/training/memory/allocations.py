"""Trace the memory that a computation allocates, and scale the trace to any number of samples."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness._compat.torch import TorchDispatchMode, pytree, storage_id

COPYING = ("convolution", "mkldnn_rnn_layer")  # oneDNN copies the tensors of these operations to its own layout


@dataclass
class Allocation:
    """A block of memory.

    Attributes:
        bytes: Its size.
        allocated: The event of its allocation.
        layer: The layer that allocated it; empty if no layer did.
        saved: True if autograd saves it for the backward pass.
        freed: The event at which it was freed; None if it outlives the computation.
    """

    bytes: int
    allocated: int
    layer: str
    saved: bool = False
    freed: int | None = None


@dataclass
class AllocationTrace:
    """The allocations of a computation in their order."""

    allocations: list[Allocation] = field(default_factory=list)
    events: int = 0

    def allocate(self, size: int, layer: str) -> Allocation:
        """Record the allocation of a block of `size` bytes."""
        allocation = Allocation(size, self._next_event(), layer)
        self.allocations.append(allocation)
        return allocation

    def free(self, allocation: Allocation) -> None:
        """Record that a block is freed."""
        allocation.freed = self._next_event()

    def _next_event(self) -> int:
        self.events += 1
        return self.events


class _Tracer(TorchDispatchMode):
    """Trace every operation below autograd, with saved tensors and the backward pass."""

    def __init__(self, trace: AllocationTrace, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.trace = trace
        self.layers: list[str] = [""]
        self.by_storage: dict[int, Allocation | None] = {storage_id(t): None for t in known}
        self.closed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copies = None
        if any(word in func.name() for word in COPYING):
            # floating point only: a workspace of bytes is in oneDNN's layout already
            inputs = [t for t in pytree.tree_leaves(args) if isinstance(t, Tensor) and t.is_floating_point()]
            copies = self.trace.allocate(sum(t.nbytes for t in inputs), self.layers[-1])
        result = func(*args, **(kwargs or {}))
        for t in pytree.tree_leaves(result):
            if isinstance(t, Tensor) and t.layout is torch.strided:
                self._record(t)
        if copies is not None:
            self.trace.free(copies)
        return result

    def _record(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        key = storage_id(t)
        if key in self.by_storage:
            return
        allocation = self.by_storage[key] = self.trace.allocate(storage.nbytes(), self.layers[-1])
        weakref.finalize(storage, self._on_freed, key, allocation).atexit = False

    def _on_freed(self, key: int, allocation: Allocation) -> None:
        if not self.closed:
            self.trace.free(allocation)
            del self.by_storage[key]  # another block may get the same address

    def pack(self, t: Tensor) -> Tensor:
        """Mark the block of a tensor that autograd saves."""
        allocation = self.by_storage.get(storage_id(t)) if t.layout is torch.strided else None
        if allocation is not None:
            allocation.saved = True
        return t


@contextmanager
def trace_allocations(model: nn.Module, known: Iterable[Tensor] = ()) -> Iterator[AllocationTrace]:
    """Context that traces allocations.

    Args:
        model: The model, whose parameters and buffers exist already and whose layers are named in the trace.
        known: Other tensors that exist already.

    Yields:
        The trace.
    """
    trace = AllocationTrace()
    tracer = _Tracer(trace, [*model.parameters(), *model.buffers(), *known])

    def enter(name: str) -> Any:
        return lambda *_: tracer.layers.append(name)

    def leave(*_: Any) -> None:
        tracer.layers.pop()

    hooks = []
    for name, module in model.named_modules():
        if name and next(module.children(), None) is None:
            hooks += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)]
    try:
        with tracer, torch.autograd.graph.saved_tensors_hooks(tracer.pack, lambda t: t):
            yield trace
    finally:
        tracer.closed = True
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class ScaledAllocation:
    """A block whose size is affine in the number of samples.

    Attributes:
        fixed: Bytes that do not depend on the samples.
        each: Bytes for each sample.
        allocation: The block in the trace.
    """

    fixed: float
    each: float
    allocation: Allocation

    def bytes(self, samples: int) -> int:
        """Return the size for a number of samples."""
        return max(0, round(self.fixed + self.each * samples))


def scale_trace(small: AllocationTrace, few: int, large: AllocationTrace, many: int) -> list[ScaledAllocation]:
    """Fit the sizes of blocks to two traces of one computation.

    If the traces have different blocks (a kernel may be chosen by size), the larger one is scaled in proportion to the
    samples.

    Args:
        small: The trace of `few` samples.
        few: The samples of the small trace.
        large: The trace of `many` samples.
        many: The samples of the large trace.
    """
    if few == many:
        return [ScaledAllocation(b.bytes, 0.0, b) for b in large.allocations]
    if [b.layer for b in small.allocations] != [b.layer for b in large.allocations]:
        return [ScaledAllocation(0.0, b.bytes / many, b) for b in large.allocations]
    scaled = []
    for a, b in zip(small.allocations, large.allocations, strict=True):
        each = (b.bytes - a.bytes) / (many - few)
        scaled.append(ScaledAllocation(b.bytes - each * many, each, b))
    return scaled


def peak_bytes(allocations: Sequence[ScaledAllocation], samples: int, heap_below: int = 0) -> tuple[int, int]:
    """Return the peak sizes of the blocks of a computation.

    Args:
        allocations: The blocks.
        samples: The number of samples.
        heap_below: Blocks of fewer bytes stay with the process when they are freed.

    Returns:
        The peak, in bytes, of the blocks that are returned to the system, and that of the smaller ones.
    """
    changes = [(s.allocation.allocated, s.bytes(samples)) for s in allocations]
    changes += [(s.allocation.freed, -s.bytes(samples)) for s in allocations if s.allocation.freed is not None]
    live, peak = [0, 0], [0, 0]
    for _, size in sorted(changes, key=lambda change: change[0]):
        kind = abs(size) < heap_below
        live[kind] += size
        peak[kind] = max(peak[kind], live[kind])
    return peak[0], peak[1]
