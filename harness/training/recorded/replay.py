"""Replay a recorded function: the same operations on the same memory, with results written in place."""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import direct, in_place_variant, out_variant, pytree, writes_results
from harness.system.errors import reraise_interrupt
from harness.training.recorded.lifetimes import assign_offsets, lifetimes, share_storages
from harness.training.recorded.recording import Operation, Recording, TensorRef

_ALLOCATING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_COPYING = {"_to_copy", "clone"}
_FILLING = {"zeros": 0, "zeros_like": 0, "new_zeros": 0, "ones": 1, "ones_like": 1, "new_ones": 1}


class CannotReplay(Exception):
    """A recorded operation needs autograd, or cannot be tried; the message names it."""


class Program:
    """A recorded function that can be called again.

    It reads tensors from outside at their places in memory, and returns its results always in the same tensors.

    Args:
        recording: The recorded function.
        results: The tree of its results, with a `TensorRef` in place of each tensor.

    Raises:
        CannotReplay: If an operation cannot be replayed.
    """

    def __init__(self, recording: Recording, results: Any) -> None:
        self._recording = recording
        kept = {ref.storage for ref in pytree.tree_leaves(results) if isinstance(ref, TensorRef)}
        needed = needed_operations(recording, kept)
        constant = constant_storages(recording)
        alive = lifetimes(recording, needed, kept | constant)
        self._shared = share_storages(recording, needed, alive)
        self._offsets, size = assign_offsets(recording.sizes, alive)
        self._memory = torch.empty(size, dtype=torch.uint8).untyped_storage()
        self._tensors: dict[TensorRef, Tensor] = {}
        self._fitting: dict[Any, bool] = {}
        self.results = pytree.tree_map_only(TensorRef, self._tensor, results)
        self.calls: list[functools.partial[Any]] = []
        self._called: dict[int, int] = {}  # the place in `calls` of an operation
        for place in needed:
            operation = recording.operations[place]
            calls = self._calls(operation)
            if operation.made and operation.made <= constant:
                for call in calls:
                    call()
            elif calls:
                self.calls += calls
                self._called[place] = len(self.calls) - 1

    def __call__(self) -> Any:
        with torch.inference_mode():  # without the bookkeeping of autograd
            for call in self.calls:
                call()
        return self.results

    def number_setter(self, place: int, leaf: int) -> Callable[[float], None]:
        """Return a function that gives an operation another number as its argument.

        Args:
            place: The place of the operation in the recording.
            leaf: The place of the number in its leaves.

        Raises:
            CannotReplay: If the number is within a list, or in an operation that is not called directly.
        """
        if place not in self._called:  # nothing depends on it
            return lambda value: None
        operation, called = self._recording.operations[place], self._called[place]
        args, kwargs = pytree.tree_unflatten(list(range(len(operation.leaves))), operation.tree)
        if self.calls[called].func is _compute_and_copy or leaf not in (*args, *kwargs.values()):
            raise CannotReplay(f"a number of {operation.name} changes")
        if leaf in kwargs.values():
            name = next(name for name, index in kwargs.items() if index == leaf)
            return functools.partial(operator.setitem, self.calls[called].keywords, name)

        def set_argument(value: float) -> None:
            call = self.calls[called]
            args = [*call.args[:leaf], value, *call.args[leaf + 1 :]]
            self.calls[called] = functools.partial(call.func, *args, **call.keywords)

        return set_argument

    @property
    def nbytes(self) -> int:
        """Bytes of the memory for the tensors that the function makes."""
        return self._memory.nbytes()

    def _tensor(self, ref: TensorRef) -> Tensor:
        if ref not in self._tensors:
            if ref.storage < 0:
                storage, first = self._recording.outside[-1 - ref.storage], 0
            else:
                owner = self._shared.get(ref.storage, ref.storage)
                storage, first = self._memory, self._offsets[owner] // ref.dtype.itemsize
            t = torch.empty(0, dtype=ref.dtype)
            self._tensors[ref] = t.set_(storage, first + ref.offset, ref.shape, ref.stride)
        return self._tensors[ref]

    def _fits(self, operation: Operation, function: Callable[..., object], outs: tuple[str, ...] | None) -> bool:
        """Return the value of `_keeps_memory`; equal operations are tried once, and those of known shape never."""
        if outs is not None and torch.Tag.pointwise in operation.function.tags and writes_results(operation.function):
            return True
        leaves = (replace(x, storage=0, offset=0) if isinstance(x, TensorRef) else x for x in operation.leaves)
        form = operation.function, outs, tuple(leaves)
        if form not in self._fitting:
            self._fitting[form] = _keeps_memory(operation, function, outs)
        return self._fitting[form]

    def _calls(self, operation: Operation) -> list[functools.partial[Any]]:
        """Return the functions that compute an operation in place; none if there is nothing to compute."""
        if torch.Tag.inplace_view in operation.function.tags:
            return []  # it changes the shape of a tensor object, and later operations have objects of that shape
        leaves = [self._tensor(leaf) if isinstance(leaf, TensorRef) else leaf for leaf in operation.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, operation.tree)
        if operation.written:
            return [functools.partial(direct(operation.function), *args, **kwargs)]
        results = [self._tensor(ref) for ref in operation.results if isinstance(ref, TensorRef)]
        if not operation.made or operation.name in _ALLOCATING:
            return []
        if operation.name in _COPYING:
            return [functools.partial(results[0].copy_, args[0])]
        if operation.name in _FILLING:
            return [functools.partial(results[0].fill_, _FILLING[operation.name])]
        changing = in_place_variant(operation.function)
        if operation.replaceable is not None and changing is not None:
            change = functools.partial(changing, results[0], *args[1:], **kwargs)
            if operation.results[0].storage in self._shared:
                return [change]
            if not writes_results(operation.function):
                return [functools.partial(results[0].copy_, args[0]), change]
        variant = out_variant(operation.function)
        if operation.name.endswith(("_loss", "cross_entropy")) and not results[0].ndim:
            variant = None  # some compute all elements in the tensor of their mean, which they resize
        if variant is not None and len(variant[1]) == len(results) and self._fits(operation, *variant):
            return [functools.partial(variant[0], *args, **kwargs, **dict(zip(variant[1], results, strict=True)))]
        function = direct(operation.function)
        if not self._fits(operation, function, None):
            raise CannotReplay(f"{operation.name} cannot be replayed")
        return [functools.partial(_compute_and_copy, function, args, kwargs, results)]


def _keeps_memory(operation: Operation, function: Callable[..., Any], outs: tuple[str, ...] | None) -> bool:
    """Return True if an operation makes the recorded results from tensors of zeros, without autograd.

    Args:
        operation: The operation.
        function: The operation, or its variant that writes into given tensors. Some variants resize these.
        outs: The names of these tensors; None if the function makes its results.
    """
    refs = [ref for ref in operation.results if isinstance(ref, TensorRef)]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("error")
        leaves = [_zeros(leaf) if isinstance(leaf, TensorRef) else leaf for leaf in operation.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, operation.tree)
        given = [_zeros(ref) for ref in refs]
        sizes = [t.untyped_storage().nbytes() for t in given]
        try:
            named = {}
            if outs is not None:
                named = {name: torch.empty(0, dtype=ref.dtype) for name, ref in zip(outs, refs, strict=True)}
                function(*args, **kwargs, **named)  # torch warns if it resizes a tensor that is not empty
                if [t.shape for t in named.values()] != [ref.shape for ref in refs]:
                    return False
                named = dict(zip(outs, given, strict=True))
            made = [t for t in pytree.tree_leaves(function(*args, **kwargs, **named)) if isinstance(t, Tensor)]
        except Exception as error:  # of an operation that refuses zeros, or needs autograd
            reraise_interrupt(error)
            return False
    if outs is not None:
        return sizes == [t.untyped_storage().nbytes() for t in given]
    return [(t.shape, t.dtype) for t in made] == [(ref.shape, ref.dtype) for ref in refs]


def _zeros(ref: TensorRef) -> Tensor:
    return torch.empty_strided(ref.shape, ref.stride, dtype=ref.dtype).fill_(0)


def _compute_and_copy(function: Callable[..., Any], args: Any, kwargs: Any, results: list[Tensor]) -> None:
    """Compute an operation that cannot write into given tensors."""
    computed = [t for t in pytree.tree_leaves(function(*args, **kwargs)) if isinstance(t, Tensor)]
    for result, value in zip(results, computed, strict=True):
        result.copy_(value)


def needed_operations(recording: Recording, kept: set[int]) -> list[int]:
    """Return the places of the operations on which the results, or a change outside of the function, depend."""
    wanted, needed = set(kept), []
    for place in range(len(recording.operations) - 1, -1, -1):
        operation = recording.operations[place]
        if (operation.written | operation.made) & wanted or any(storage < 0 for storage in operation.written):
            needed.append(place)
            wanted |= operation.read | operation.written
    return needed[::-1]


def constant_storages(recording: Recording) -> set[int]:
    """Return the storages whose content is the same in each call: made of numbers and of such storages."""
    written = set().union(*(operation.written for operation in recording.operations), set())
    constant: set[int] = set(recording.constants)
    for operation in recording.operations:
        if operation.read <= constant and not operation.made & written:
            constant |= operation.made
    return constant
