"""The interface through which diagnostics read a model or a stack."""

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
    """A model, or a stack of models, as diagnostics read it. Tensors of a stack have a first dimension for its rows.

    Attributes:
        task: The task of the runs.
        model: The module whose submodules are called.
    """

    task: Task
    model: nn.Module

    def params(self) -> Named:
        """Return the parameters by name."""
        ...

    def buffers(self) -> Named:
        """Return the buffers by name."""
        ...

    def bind(self, params: Named, buffers: Named) -> Call:
        """Return the model with these parameters and buffers as a function."""
        ...

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of about `count` samples of a split."""
        ...

    def key(self, number: int) -> Tensor:
        """Return the noise key of a number."""
        ...

    def redirect_noise(self, noise: Noise) -> AbstractContextManager[Any]:
        """Context in which the model's random functions draw from `noise`."""
        ...

    def redirect_differentiable(self, noise: Noise, stacked: bool) -> AbstractContextManager[Any]:
        """Context as `redirect_noise` in which the model can be differentiated twice."""
        ...

    def select_row(self, row: int) -> AbstractContextManager[Any]:
        """Context in which the model has the settings of one row, such as its dropout rates."""
        ...

    def map(self, function: Callable[..., Any], inputs: Any) -> Any:
        """Map a function over the rows of `inputs`; call it once for a single model."""
        ...


@contextmanager
def without_running_stats(model: nn.Module) -> Iterator[None]:
    """Context in which batch normalization does not update its running statistics."""
    tracking = [m for m in model.modules() if isinstance(m, NormBase) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def clone(tensors: Mapping[str, Tensor]) -> Named:
    """Return detached copies of tensors by name."""
    return {name: t.detach().clone() for name, t in tensors.items()}
