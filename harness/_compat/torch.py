"""torch: seen on torch 2.13.

`pytree` (`torch.utils._pytree`) maps functions over nested tuples, lists and dicts of tensors; torch's public functions
take such trees, and export none of it. Without it, predictions and targets of several tensors cannot be handled.

`TorchDispatchMode` (`torch.utils._python_dispatch`) sees each operation below autograd. torch's notes on extending it
describe the class, in a private module. Without it, memory cannot be estimated, and a stack cannot be trained exactly.

`StorageWeakRef` (`torch.multiprocessing.reductions`) is undocumented. While it lives, no other storage gets the number
of its storage. Without it, recording a step keeps all tensors of the step.

`BatchNormBase`, `NormBase` and `DropoutBase` (`_BatchNorm`, `_NormBase`, `_DropoutNd`) are the common base classes of
torch's layers. Without them, name the layers one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch._C._functorch import _add_batch_dim, _unwrap_batched, is_functorch_wrapped_tensor
from torch._functorch.pyfunctorch import VmapInterpreter, retrieve_current_functorch_interpreter
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.batchnorm import _BatchNorm as BatchNormBase
from torch.nn.modules.batchnorm import _NormBase as NormBase
from torch.nn.modules.dropout import _DropoutNd as DropoutBase
from torch.optim import optimizer as optimizers
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["BatchNormBase", "DropoutBase", "NormBase", "StorageWeakRef", "TorchDispatchMode", "pytree"]

MODULE_STATE = frozenset({"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"})
"""Attributes of any `torch.nn.Module` that say nothing of what it computes but by its tensors and its children.

Seen on torch 2.13. If one is renamed, all models of a sweep seem to differ, and none are stacked.
"""

UNLISTED_SAMPLERS = (torch._standard_gamma, torch._sample_dirichlet)
"""Functions that draw for `torch.distributions`.

Seen on torch 2.13. Without them, gamma and Dirichlet samples come from torch's generator and not from the run's.
"""


class AnyBatchNorm(BatchNormBase):
    """Batch normalization of inputs with any number of dimensions.

    Overrides `_BatchNorm._check_input_dim`, seen on torch 2.13, which refuses all inputs in the base class.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass


class FixedPrecision(nn.Module):
    """A module whose buffers `fixed` keep their precision when the module's is changed; they move with it.

    Overrides `Module._apply`, seen on torch 2.13, through which `to`, `float` and `cuda` of a parent pass. Without it,
    `to(torch.float32)` rounds the mean and deviation of targets.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        fixed_buffers = {name: self._buffers.pop(name) for name in self.fixed}
        super()._apply(fn, recurse)
        for name, buffer in fixed_buffers.items():
            assert buffer is not None
            self._buffers[name] = buffer.to(fn(buffer).device)
        return self


def storage_id(tensor: Tensor | torch.UntypedStorage) -> int:
    """Return the number of a storage, which tensors with the same memory share, also on the meta device.

    Uses `UntypedStorage._cdata`, seen on torch 2.13; the public `data_ptr` is 0 on the meta device. Without it, memory
    that two tensors share is counted twice.
    """
    storage = tensor if isinstance(tensor, torch.UntypedStorage) else tensor.untyped_storage()
    number: int = storage._cdata
    return number


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if hooks are registered to run before or after `optimizer.step()`.

    Uses `_optimizer_step_pre_hooks` and `_optimizer_step_post_hooks`, seen on torch 2.13. Without them, every optimizer
    must be watched while it trains a stack.
    """
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def has_global_step_hooks() -> bool:
    """Return True if hooks are registered to run before or after the step of any optimizer.

    Uses `_global_optimizer_pre_hooks` and `_global_optimizer_post_hooks` of `torch.optim.optimizer`, seen on torch
    2.13. Without them, optimizers must not be stepped by their kernels.
    """
    return bool(optimizers._global_optimizer_pre_hooks or optimizers._global_optimizer_post_hooks)


fused_adam_, fused_adamw_ = torch._fused_adam_, torch._fused_adamw_
fused_sgd_, fused_adagrad_ = torch._fused_sgd_, torch._fused_adagrad_
"""The kernels of torch's fused optimizers.

Seen on torch 2.13. Without them, call `optimizer.step()`.
"""


def beneath_vmap(function: Callable[..., Tensor], *args: Any) -> Tensor:
    """Call a function with the tensors of all members, [members, ...], from inside of vmap.

    A `torch.autograd.Function` with a rule for vmap is the public way to do so; its bookkeeping costs several times
    what a small network's layer does.

    Uses functorch's interpreters (`torch._functorch.pyfunctorch`) and `_add_batch_dim`, `_unwrap_batched` of
    `torch._C._functorch`, seen on torch 2.13. Without them, no models can be trained as a stack in the exact way.
    """
    interpreter = retrieve_current_functorch_interpreter()
    assert isinstance(interpreter, VmapInterpreter)
    level, members = interpreter.level(), interpreter.batch_size()
    stacked = [_stacked(*_unwrap_batched(a, level), members) if isinstance(a, Tensor) else a for a in args]
    with interpreter.lower():
        result = function(*stacked)
    wrapped: Tensor = _add_batch_dim(result, 0, level)
    return wrapped


def is_transformed(tensor: Tensor) -> bool:
    """Return True if a transformation of `torch.func` wraps a tensor, as inside of vmap.

    Uses `is_functorch_wrapped_tensor` of `torch._C._functorch`, seen on torch 2.13. Without it, a model that uses
    `torch.func` fails where it pools.
    """
    return bool(is_functorch_wrapped_tensor(tensor))


def _stacked(t: Tensor, dim: int | None, members: int) -> Tensor:
    """Put the members first; what they share is expanded."""
    return t.expand(members, *t.shape) if dim is None else t if dim == 0 else t.movedim(dim, 0)


def is_operation(function: Any) -> bool:
    """Return True if a function seen by a TorchDispatchMode is a plain operation, and no higher-order one.

    Uses `torch._ops.OpOverload`, seen on torch 2.13. Without it, no training step can be recorded.
    """
    return isinstance(function, OpOverload)


def written_arguments(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors that an operation changes in place.

    Uses the schema of an operation (`OpOverload._schema`), seen on torch 2.13. Without it, no training step can be
    recorded.
    """
    written = []
    for place, name in _written(operation):
        value = args[place] if place < len(args) else kwargs.get(name)
        leaves = (value,) if isinstance(value, Tensor) else pytree.tree_leaves(value)
        written += [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    return written


@functools.lru_cache(None)
def _written(operation: Any) -> tuple[tuple[int, str], ...]:
    """Return the places and names of the arguments that an operation changes."""
    arguments = enumerate(operation._schema.arguments if operation._schema.is_mutable else ())
    return tuple((place, a.name) for place, a in arguments if a.alias_info is not None and a.alias_info.is_write)


@functools.lru_cache(None)
def out_variant(operation: Any) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    """Return the variant of an operation that writes into given tensors, and the names of these arguments.

    Uses the schemas of an operation's overloads (`OpOverload._schema`), seen on torch 2.13. Without it, a replayed step
    allocates all of its tensors.
    """
    variant = _out_overload(operation)
    return None if variant is None else (direct(variant), _outs(variant))


def _out_overload(operation: Any) -> Any:
    own = [(a.name, str(a.type)) for a in operation._schema.arguments]
    for overload in operation.overloadpacket.overloads():
        variant = getattr(operation.overloadpacket, overload)
        rest = [(a.name, str(a.type)) for a in variant._schema.arguments if not a.is_out]
        if _outs(variant) and len(_outs(variant)) == len(operation._schema.returns) and rest == own:
            return variant
    return None


def _outs(variant: Any) -> tuple[str, ...]:
    """Return the names of the arguments into which an overload writes its results."""
    return tuple(a.name for a in variant._schema.arguments if a.is_out)


@functools.lru_cache(None)
def in_place_variant(operation: Any) -> Callable[..., Any] | None:
    """Return the variant of an operation that changes its first argument, such as `relu_` of `relu`.

    Uses `torch.ops` and the schemas of overloads (`OpOverload._schema`), seen on torch 2.13. Without it, a replayed
    step moves more memory.
    """
    namespace, _, name = operation._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), f"{name}_", None)
    variant = getattr(packet, operation._overloadname, None)
    if variant is None:
        return None
    own, changed = ([(a.name, str(a.type)) for a in op._schema.arguments] for op in (operation, variant))
    writes = [place for place, _ in _written(variant)]
    return direct(variant) if own == changed and writes == [0] and len(variant._schema.returns) == 1 else None


@functools.lru_cache(None)
def writes_results(operation: Any) -> bool:
    """Return True if the variant of `out_variant` computes in the tensors that it is given, on a CPU.

    torch generates the variants of some operations: those compute in a new tensor, which they copy.

    Uses `torch._C._dispatch_has_kernel_for_dispatch_key`, seen on torch 2.13. Without it, return True.
    """
    variant = _out_overload(operation)
    return variant is not None and torch._C._dispatch_has_kernel_for_dispatch_key(variant.name(), "CPU")


def direct(operation: Any) -> Callable[..., Any]:
    """Return the function behind an operation, which is called at less cost.

    Uses `OpOverload._op`, seen on torch 2.13. Without it, call the operation itself.
    """
    function: Callable[..., Any] = operation._op
    return function
