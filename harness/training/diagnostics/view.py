"""What a path shows of itself to those who look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from harness._compat.torch import NormBase
from harness.modeling.rng.noise import Noise
from harness.modeling.task import Call, Task

Named = dict[str, Tensor]


class ModelView(Protocol):
    """What a path shows of itself. Tensors of a stack have a first dimension for its rows."""

    task: Task
    model: nn.Module  # whose modules are called

    def params(self) -> Named: ...
    def buffers(self) -> Named: ...
    def bind(self, params: Named, buffers: Named) -> Call: ...
    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]: ...
    def key(self, number: int) -> Tensor: ...
    def redirected(self, noise: Noise) -> AbstractContextManager[Any]: ...
    def differentiated(self, noise: Noise, together: bool) -> AbstractContextManager[Any]: ...
    def apart(self, row: int) -> AbstractContextManager[Any]: ...
    def map(self, one: Callable[..., Any], given: Any) -> Any: ...


@contextmanager
def untracked(model: nn.Module) -> Iterator[None]:
    """Inside, batch normalization notes nothing of the batches that it sees."""
    tracking = [m for m in model.modules() if isinstance(m, NormBase) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def copied(tensors: Mapping[str, Tensor]) -> Named:
    """Copies, with the same names."""
    return {name: t.detach().clone() for name, t in tensors.items()}
