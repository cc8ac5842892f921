"""Find the modules of a network to observe, and capture their inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from harness._compat.torch import DropoutBase, NormBase
from harness.modeling.block import ROLE, Elementwise

ACTIVATIONS = nn.modules.activation.__name__
NORMALIZATIONS = (NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
MIXING = (nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax, nn.GLU, nn.MultiheadAttention)
PASSING = (nn.Identity, nn.Flatten, nn.Unflatten, DropoutBase)  # their outputs are their inputs, or some of them


def module_role(module: nn.Module) -> str | None:
    """Return a module's role in a network: `activation`, `normalization`, `weights` or `other`.

    Returns:
        None for a module that is not observed: a container without parameters of its own, or one that passes on its
        input.
    """
    known: str | None = getattr(module, ROLE, None)
    if known is not None:
        return known
    if isinstance(module, PASSING):
        return None
    if isinstance(module, NORMALIZATIONS):
        return "normalization"
    if type(module).__module__ == ACTIVATIONS and not isinstance(module, nn.MultiheadAttention):
        return "activation"
    if any(p.ndim > 1 for p in module.parameters(recurse=False)):
        return "weights"
    return None if next(module.children(), None) is not None else "other"


def module_roles(model: nn.Module) -> dict[str, str]:
    """Return the roles of the modules to observe, by name; modules within one of them are left out."""
    roles: dict[str, str] = {}
    for name, module in model.named_modules():
        if not any(name.startswith(f"{outer}.") for outer in roles) and (role := module_role(module)) is not None:
            roles[name] = role
    return roles


def is_elementwise(module: nn.Module) -> bool:
    """Return True if each element of the output depends only on the element of the input at its place."""
    if isinstance(module, Elementwise):
        return True
    return type(module).__module__ == ACTIVATIONS and not isinstance(module, MIXING)


@contextmanager
def capture(model: nn.Module, names: Iterable[str]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Context that captures the inputs and outputs of modules.

    Yields:
        Inputs of element-wise modules and outputs of all, by name. They are in the order of the calls; the last call
        of a module counts.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    elementwise = {name for name in names if is_elementwise(model.get_submodule(name))}

    def store(name: str, args: tuple[Any, ...], output: object) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor) and first.is_floating_point():
            outputs.pop(name, None)
            outputs[name] = first
            if name in elementwise and args and isinstance(args[0], Tensor):
                inputs[name] = args[0]

    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, args, output, name=name: store(name, args, output))
        for name in names
    ]
    try:
        yield inputs, outputs
    finally:
        for handle in handles:
            handle.remove()
