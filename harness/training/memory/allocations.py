"""What a computation asks of the allocator: each block's size, when it came and went, which layer made it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness._compat.torch import TorchDispatchMode, pytree, storage_id

COPIED = ("convolution", "mkldnn_rnn_layer")  # oneDNN lays out the tensors of these operations anew, in blocks


@dataclass
class Allocation:
    """A piece of memory, from the event of its birth to that of its death."""

    bytes: int
    born: int
    layer: str
    saved: bool = False  # by autograd, for the way back
    died: int | None = None  # None: it outlives the computation


@dataclass
class AllocationTrace:
    """Blocks in the order of their births."""

    blocks: list[Allocation] = field(default_factory=list)
    events: int = 0

    def open(self, size: int, layer: str) -> Allocation:
        """A block is born."""
        block = Allocation(size, self._next(), layer)
        self.blocks.append(block)
        return block

    def close(self, block: Allocation) -> None:
        """A block is let go."""
        block.died = self._next()

    def _next(self) -> int:
        self.events += 1
        return self.events


class _Watch(TorchDispatchMode):
    """Sees each operation below autograd: saved tensors and the way back included."""

    def __init__(self, ledger: AllocationTrace, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.ledger = ledger
        self.layers: list[str] = [""]
        self.blocks: dict[int, Allocation | None] = {storage_id(t): None for t in known}
        self.closed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copies = None
        if any(word in func.name() for word in COPIED):
            # of numbers alone: the bytes of a workspace are in its own layout already
            read = [t for t in pytree.tree_leaves(args) if isinstance(t, Tensor) and t.is_floating_point()]
            copies = self.ledger.open(sum(t.nbytes for t in read), self.layers[-1])
        made = func(*args, **(kwargs or {}))
        for t in pytree.tree_leaves(made):
            if isinstance(t, Tensor) and t.layout is torch.strided:
                self._see(t)
        if copies is not None:
            self.ledger.close(copies)
        return made

    def _see(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        key = storage_id(t)
        if key in self.blocks:
            return
        block = self.blocks[key] = self.ledger.open(storage.nbytes(), self.layers[-1])
        weakref.finalize(storage, self._gone, key, block).atexit = False

    def _gone(self, key: int, block: Allocation) -> None:
        if not self.closed:
            self.ledger.close(block)
            del self.blocks[key]  # another may lie there next

    def pack(self, t: Tensor) -> Tensor:
        block = self.blocks.get(storage_id(t)) if t.layout is torch.strided else None
        if block is not None:
            block.saved = True
        return t


@contextmanager
def watching(model: nn.Module, known: Iterable[Tensor] = ()) -> Iterator[AllocationTrace]:
    """Writes down what is allocated inside; parameters, buffers and what is `known` were there before."""
    ledger = AllocationTrace()
    watch = _Watch(ledger, [*model.parameters(), *model.buffers(), *known])

    def enter(name: str) -> Any:
        return lambda *_: watch.layers.append(name)

    def leave(*_: Any) -> None:
        watch.layers.pop()

    hooks = []
    for name, module in model.named_modules():
        if name and next(module.children(), None) is None:
            hooks += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)]
    try:
        with watch, torch.autograd.graph.saved_tensors_hooks(watch.pack, lambda t: t):
            yield ledger
    finally:
        watch.closed = True
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class ScaledAllocation:
    """A block whose bytes are affine in the number of samples."""

    fixed: float
    each: float
    block: Allocation

    def bytes(self, samples: int) -> int:
        """Of so many samples."""
        return max(0, round(self.fixed + self.each * samples))


def affine(small: AllocationTrace, few: int, large: AllocationTrace, many: int) -> list[ScaledAllocation]:
    """Two ledgers of one computation, over `few` and `many` samples, as one over any number. Where the two are not of
    the same blocks (a kernel is chosen by size), the larger is taken, in proportion to the samples.
    """
    if few == many:
        return [ScaledAllocation(b.bytes, 0.0, b) for b in large.blocks]
    if [b.layer for b in small.blocks] != [b.layer for b in large.blocks]:
        return [ScaledAllocation(0.0, b.bytes / many, b) for b in large.blocks]
    found = []
    for a, b in zip(small.blocks, large.blocks, strict=True):
        each = (b.bytes - a.bytes) / (many - few)
        found.append(ScaledAllocation(b.bytes - each * many, each, b))
    return found


def peaks(blocks: Sequence[ScaledAllocation], samples: int, kept_below: int = 0) -> tuple[int, int]:
    """The most bytes at one time: of blocks that go back to the system, and of those below a size, which do not."""
    moves = [(s.block.born, s.bytes(samples)) for s in blocks]
    moves += [(s.block.died, -s.bytes(samples)) for s in blocks if s.block.died is not None]
    live, most = [0, 0], [0, 0]
    for _, size in sorted(moves, key=lambda move: move[0]):
        kind = abs(size) < kept_below
        live[kind] += size
        most[kind] = max(most[kind], live[kind])
    return most[0], most[1]
