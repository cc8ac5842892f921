"""What the modules of a network make of a batch."""

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
PASSING = (nn.Identity, nn.Flatten, nn.Unflatten, DropoutBase)  # what comes out is what went in, or some of it


def role(module: nn.Module) -> str | None:
    """What a module is in a network: activation, normalization, weights, other; None where it is not worth a look:
    it holds others and has no parameters of its own, or passes on what it is given.
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


def roles(model: nn.Module) -> dict[str, str]:
    """{name: role} of the modules that are worth a look; what stands inside of one of them is not."""
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        if not any(name.startswith(f"{outer}.") for outer in found) and (what := role(module)) is not None:
            found[name] = what
    return found


def elementwise(module: nn.Module) -> bool:
    """Whether each number that comes out depends on the one number that goes in at its place."""
    if isinstance(module, Elementwise):
        return True
    return type(module).__module__ == ACTIVATIONS and not isinstance(module, MIXING)


@contextmanager
def captured(model: nn.Module, names: Iterable[str]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Inside, fills ({name: input}, {name: output}) as modules are called, in that order; of one that is called more
    often, the last. Inputs are those of element-wise modules.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    single = {name for name in names if elementwise(model.get_submodule(name))}

    def keep(name: str, args: tuple[Any, ...], output: object) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor) and first.is_floating_point():
            outputs.pop(name, None)
            outputs[name] = first
            if name in single and args and isinstance(args[0], Tensor):
                inputs[name] = args[0]

    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, args, output, name=name: keep(name, args, output))
        for name in names
    ]
    try:
        yield inputs, outputs
    finally:
        for handle in handles:
            handle.remove()
