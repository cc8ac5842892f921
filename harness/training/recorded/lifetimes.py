"""Place the tensors of a recorded function in one block of memory, shared by those that are not alive together."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from harness.training.recorded.recording import Recording, TensorRef

LINE = 64  # bytes of a cache line, on which each storage begins, as those that torch allocates do
Lifetime = tuple[int, int]  # places of the operations that make a storage and that use it last


def lifetimes(recording: Recording, needed: list[int], lasting: set[int]) -> dict[int, Lifetime]:
    """Return the lifetime of each storage that the needed operations make.

    Args:
        recording: The recorded function.
        needed: The places of the operations that are replayed.
        lasting: Storages that keep their memory for themselves, such as results.
    """
    alive: dict[int, Lifetime] = {}
    for place in needed:
        operation = recording.operations[place]
        for storage in operation.read | operation.made:
            if storage >= 0:
                alive[storage] = (alive.get(storage, (place,))[0], place)
    whole = (-1, len(recording.operations))
    return {storage: whole if storage in lasting else lifetime for storage, lifetime in alive.items()}


def share_storages(recording: Recording, needed: list[int], alive: dict[int, Lifetime]) -> dict[int, int]:
    """Let results take the memory of an argument that is not needed any more, where an operation has such a variant.

    Args:
        recording: The recorded function.
        needed: The places of the operations that are replayed.
        alive: The lifetime of each storage. Those that take the memory of another one are removed, and the lifetime of
            the other one is prolonged.

    Returns:
        The storage whose memory a removed one has, by the number of the removed one.
    """
    owners: dict[int, int] = {}
    for place in needed:
        operation = recording.operations[place]
        if operation.replaceable is None:
            continue
        argument, result = operation.replaceable
        if argument.storage < 0 or alive[result.storage][0] != place:
            continue
        owner = owners.get(argument.storage, argument.storage)
        ends = alive[owner][1] == place
        views = {leaf for leaf in operation.leaves if isinstance(leaf, TensorRef) and leaf.storage == argument.storage}
        same_size = recording.sizes[argument.storage] == recording.sizes[result.storage]
        if views == {argument} and same_size and argument.offset == result.offset and ends:
            alive[owner] = alive[owner][0], alive.pop(result.storage)[1]
            owners[result.storage] = owner
    return owners


def assign_offsets(sizes: Mapping[int, int], alive: Mapping[int, Lifetime]) -> tuple[dict[int, int], int]:
    """Assign memory to storages at the lowest free place, in the order in which they are made.

    Args:
        sizes: Bytes of each storage.
        alive: The lifetime of each storage.

    Returns:
        The offset of each storage in bytes, and the size of the whole.

    >>> assign_offsets({0: 64, 1: 100, 2: 10}, {0: (0, 1), 1: (1, 3), 2: (2, 3)})
    ({0: 0, 1: 64, 2: 0}, 192)
    """
    ends: dict[int, list[int]] = {}
    for storage, (_, last) in alive.items():
        ends.setdefault(last, []).append(storage)
    free = _FreeBlocks()
    offsets: dict[int, int] = {}
    released = -2
    for storage in sorted(alive, key=lambda storage: alive[storage][0]):
        first = alive[storage][0]
        for place in range(released + 1, first):  # what an operation reads is free after it
            for dead in ends.get(place, ()):
                free.release(offsets[dead], _rounded(sizes[dead]))
        released = max(released, first - 1)
        offsets[storage] = free.take(_rounded(sizes[storage]))
    return offsets, free.end


def _rounded(size: int) -> int:
    return max(LINE, -(-size // LINE) * LINE)


class _FreeBlocks:
    """The free blocks below `end`, none of which touch."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, int]] = []  # (offset, size), sorted
        self.end = 0

    def take(self, size: int) -> int:
        for place, (offset, available) in enumerate(self.blocks):
            if available >= size:
                self.blocks[place : place + 1] = [(offset + size, available - size)] if available > size else []
                return offset
        offset = self.end
        if self.blocks and sum(self.blocks[-1]) == self.end:
            offset = self.blocks.pop()[0]
        self.end = offset + size
        return offset

    def release(self, offset: int, size: int) -> None:
        place = bisect.bisect(self.blocks, (offset, size))
        if place < len(self.blocks) and self.blocks[place][0] == offset + size:
            size += self.blocks.pop(place)[1]
        if place and sum(self.blocks[place - 1]) == offset:
            offset, before = self.blocks[place - 1][0], self.blocks.pop(place - 1)[1]
            size += before
            place -= 1
        self.blocks.insert(place, (offset, size))
