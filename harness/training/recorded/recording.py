"""Record the operations that a function computes, below autograd and vmap, as data to compare and to replay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import (
    StorageWeakRef,
    TorchDispatchMode,
    in_place_variant,
    is_operation,
    pytree,
    storage_id,
    written_arguments,
)

_NO_DRAW = "_scaled_dot_product"  # these draw only if their rate of dropout is not 0
_MASKS = (torch.bool, torch.uint8)
_CHANGE_MEMORY = {"resize_", "resize_as_", "set_", "_resize_output_"}


@dataclass(frozen=True)
class TensorRef:
    """A tensor by its place in a storage.

    Storages are numbered: from 0 those that the function makes, and from -1 downward those from outside of it.
    """

    storage: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Operation:
    """One operation of torch.

    Attributes:
        function: The overload, such as `aten.mul.Tensor`.
        leaves: Its arguments, flattened, with a `TensorRef` in place of each tensor.
        tree: The structure of `(args, kwargs)`.
        results: Its results, flattened.
        written: The storages that it changes in place.
    """

    function: Any
    leaves: tuple[Any, ...]
    tree: Any
    results: tuple[Any, ...]
    written: frozenset[int]

    @property
    def name(self) -> str:
        """The name without the overload, such as `mul`."""
        return str(self.function.overloadpacket.__name__)

    @property
    def replaceable(self) -> tuple[TensorRef, TensorRef] | None:
        """The first argument and the only result, if the result could be computed in the argument's place.

        Both have one layout: in another, an element-wise kernel ends its vectors at other elements, by another formula.
        """
        if self.written or len(self.results) != 1 or not self.leaves:
            return None
        argument, result = self.leaves[0], self.results[0]
        if not isinstance(argument, TensorRef) or not isinstance(result, TensorRef) or result.storage not in self.made:
            return None
        same = replace(argument, storage=0, offset=0) == replace(result, storage=0, offset=0)
        return (argument, result) if same and in_place_variant(self.function) is not None else None

    @property
    def read(self) -> set[int]:
        """The storages of its arguments."""
        return {leaf.storage for leaf in self.leaves if isinstance(leaf, TensorRef)}

    @property
    def made(self) -> set[int]:
        """The storages of its results that are not those of its arguments."""
        return {result.storage for result in self.results if isinstance(result, TensorRef)} - self.read


@dataclass
class Recording:
    """The operations of one call of a function.

    Attributes:
        operations: The operations in their order.
        sizes: Bytes of the storages that the function made, by number.
        outside: The storages that it read or wrote and did not make; number -1 is the first.
        constants: Tensors that it made from numbers of Python, by the number of their storage.
        refusal: The reason why the function cannot be replayed; empty if it can.
    """

    operations: list[Operation] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)
    outside: list[torch.UntypedStorage] = field(default_factory=list)
    constants: dict[int, Tensor] = field(default_factory=dict)
    refusal: str = ""

    def difference(self, other: Recording) -> str:
        """Return why two recordings are not one program; empty if they are."""
        if self.refusal or other.refusal:
            return self.refusal or other.refusal
        for a, b in zip(self.operations, other.operations, strict=False):
            if a != b:
                same = a.function is b.function
                return f"{a.name} has other arguments in each step" if same else "its operations differ between steps"
        if len(self.operations) != len(other.operations) or len(self.outside) != len(other.outside):
            return "its operations differ between steps"
        for place, (old, new) in enumerate(zip(self.outside, other.outside, strict=True), start=1):
            x, y = self.constants.get(-place), other.constants.get(-place)
            if x is not None and y is not None:
                if x.shape != y.shape or x.dtype != y.dtype or not torch.equal(x, y):
                    return "it makes a tensor of other numbers in each step"
            elif storage_id(old) != storage_id(new):
                return "it reads a tensor that is another in each step"
        return ""


class Recorder(TorchDispatchMode):
    """Context that records the operations inside it; they are computed as without it."""

    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording()
        self._numbers: dict[int, int] = {}  # of storages, by their id
        # A storage that is freed keeps its id while a weak reference lives: ids are unique, and no memory is kept
        self._alive: list[StorageWeakRef] = []

    def refs(self, tree: Any) -> Any:
        """Return a tree with a `TensorRef` in place of each tensor."""
        return pytree.tree_map_only(Tensor, self._ref, tree)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":  # marks of a profiler, which compute nothing
            return func(*args, **kwargs)
        recording = self.recording
        recording.refusal = recording.refusal or _refusal(func, args, kwargs)
        if recording.refusal:
            return func(*args, **kwargs)
        leaves, tree = _flatten(args, kwargs)
        arguments = tuple(self._ref(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        if func is torch.ops.aten.lift_fresh.default and arguments[0].storage < 0:  # a tensor of numbers of Python
            recording.constants.setdefault(arguments[0].storage, args[0].detach().clone())
        result = func(*args, **kwargs)
        given = {ref.storage for ref in arguments if isinstance(ref, TensorRef)}
        made = (result,) if isinstance(result, Tensor) else pytree.tree_leaves(result)
        results = tuple(self._result(leaf, given) if isinstance(leaf, Tensor) else leaf for leaf in made)
        written = frozenset(self._ref(t).storage for t in written_arguments(func, args, kwargs))
        if written & recording.constants.keys():
            recording.refusal = "it changes a tensor that it made from numbers"
        recording.operations.append(Operation(func, arguments, tree, results, written))
        return result

    def _ref(self, t: Tensor) -> TensorRef:
        storage = t.untyped_storage()
        number = self._numbers.get(storage_id(storage))
        if number is None:
            self.recording.outside.append(storage)
            number = self._numbers[storage_id(storage)] = -len(self.recording.outside)
        if type(t) not in (Tensor, torch.nn.Parameter) or t.device.type != "cpu" or t.is_conj() or t.is_neg():
            self.recording.refusal = "it uses tensors of a special kind"
        return TensorRef(number, int(t.storage_offset()), tuple(t.shape), t.stride(), t.dtype)

    def _result(self, t: Tensor, given: set[int]) -> TensorRef:
        """Return the reference of a result, which is new unless it is a view of an argument."""
        storage = t.untyped_storage()
        number = self._numbers.get(storage_id(storage))
        if number is None:
            number = self._numbers[storage_id(storage)] = len(self.recording.sizes)
            self.recording.sizes[number] = storage.nbytes()
            self._alive.append(StorageWeakRef(storage))
        elif number not in given:
            self.recording.refusal = "an operation returns a tensor that it was not given"
        return self._ref(t)


_CONTAINERS = (tuple, list, dict)
_trees: dict[tuple[int, tuple[str, ...]], Any] = {}  # of flat arguments


def _flatten(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    """Flatten `(args, kwargs)`; most operations have no lists as arguments."""
    leaves = [*args, *kwargs.values()]
    if any(isinstance(leaf, _CONTAINERS) for leaf in leaves):
        return pytree.tree_flatten((args, kwargs))
    form = len(args), tuple(kwargs)
    if form not in _trees:
        _trees[form] = pytree.tree_flatten((args, kwargs))[1]
    return leaves, _trees[form]


def _refusal(function: Any, args: Any, kwargs: Any) -> str:
    """Return why an operation cannot be replayed; empty if it can."""
    if not is_operation(function):
        return f"{function} is no plain operation"
    name, tags = function.overloadpacket.__name__, function.tags
    if torch.Tag.nondeterministic_seeded in tags and not (name.startswith(_NO_DRAW) and 0.0 in (*args, 0.0)):
        return f"{name} draws from a generator of torch"
    if torch.Tag.data_dependent_output in tags:
        return "it reads numbers from a tensor"
    by_number = name == "index" and not any(t is not None and t.dtype in _MASKS for t in args[1])
    if (torch.Tag.dynamic_output_shape in tags and not by_number) or name in _CHANGE_MEMORY:
        return f"the shape of {name} depends on numbers"
    return ""
