"""Base types for diagnostics, which are pure measurements of a network during training."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge
from torch import Tensor

Measure = Callable[..., Mapping[str, Any]]
Every = Annotated[int, Ge(0), "steps from one measurement to the next, at the least; 0: a hundredth of the run"]
"""The type of a diagnostic's setting `every`."""

# Names of the parameters of a measurement, by what it takes to provide them.
STEP = frozenset({"previous", "start", "grads", "lr", "batch_size", "each"})  # values of the last step
PROBE = frozenset({"layers", "slopes", "start_layers"})  # a forward and backward pass of the probe samples
PURE = frozenset({"params", "loss", "x", "y", "prediction", "target"})  # values of the probe samples
HISTORY = frozenset({"history", "machine"})  # available after each epoch, on the host
END = frozenset({"model", "dataset", "task"})  # available once, after training, on the host
OFFERS = STEP | PROBE | PURE | HISTORY | END


class Layer(NamedTuple):
    """The output of a module for the probe samples.

    Attributes:
        output: The output, `[N, ...]`.
        gradient: The gradient of each sample's own loss with respect to the output, `[N, ...]`.
        role: "activation", "normalization", "weights" or "other".
    """

    output: Tensor
    gradient: Tensor
    role: str


class Histogram(NamedTuple):
    """A histogram.

    Attributes:
        counts: The number of values in each bin, `[B]`.
        edges: The edges of the bins, `[B + 1]`.
    """

    counts: Tensor
    edges: Tensor


class Image(NamedTuple):
    """An image.

    Attributes:
        pixels: Grey or RGB values in [0, 1], `[1 or 3, H, W]`.
    """

    pixels: Tensor


class Text(NamedTuple):
    """Words, in Markdown."""

    markdown: str


class Embedding(NamedTuple):
    """Points [N, D] to look at from all sides, with a word and a picture [N, C, H, W] for each, where there are any."""

    vectors: Tensor
    labels: list[str] | None = None
    images: Tensor | None = None


class PrCurve(NamedTuple):
    """Scores [N] in 0 .. 1 that something is so, and whether it is [N]."""

    scores: Tensor
    truths: Tensor


@dataclass(frozen=True)
class Diagnostic:
    """A measurement of a network during training.

    harness calls `measure` with the values that its parameters name:

    - `params`, `previous`, `start`: parameters `{name: tensor}` after the step, before it, and at the beginning;
      `grads`, the gradients of the step; `lr`, the learning rate; `batch_size`, the samples in a batch; `each`, the
      samples in a tuple (else 1).
    - `x`, `y`: training samples without augmentation; `prediction`, `target`: outputs of the task for as many
      validation samples, in evaluation mode.
    - `layers`: `{name: Layer}` of every module with an operation of its own, in the order of execution, in training
      mode; `slopes`: `{name: f'(input) [N, ...]}` of element-wise activations; `start_layers`: `{name: output}` with
      the initial weights.
    - `loss(params, x, y, draw=0, train=True)`: the training loss, differentiable with torch.func. Its noise depends on
      `draw`; with `train=False` the model is in evaluation mode.
    - `history`: the metrics of every epoch so far; `machine`: `{samples_per_s, waiting, cores, memory}` of the last
      epoch, and `device_memory`, `device_busy` if known. Measured after each epoch.
    - `model` (trained, in evaluation mode), `dataset`, `task`. Measured once, at the end.

    A measurement at steps is a pure function of tensors and does not branch on their values: many runs are measured as
    one program.

    Args:
        measure: Returns `{tag: value}`, each a scalar tensor, a Histogram or an Image. At the end also a Text, an
            Embedding or a PrCurve.
        every: Steps between two measurements; 0 for a hundredth of the run.
        once: True to measure once, at the end.
    """

    measure: Measure
    every: int = 0
    once: bool = False

    @functools.cached_property
    def asks(self) -> frozenset[str]:
        """The names of the parameters of `measure`.

        Raises:
            TypeError: If one is unknown, or not available at the time of the measurement.
        """
        measure: Any = self.measure
        if isinstance(measure, functools.partial) and not measure.args:
            names = _parameters(measure.func) - frozenset(measure.keywords)
        else:
            names = _parameters(measure)
        if unknown := sorted(names - OFFERS):
            raise TypeError(
                f"a diagnostic's measure asks for {unknown[0]!r}; it may ask for {', '.join(sorted(OFFERS))}"
            )
        if (self.once or names & END) and (gone := sorted(names & (STEP | {"start_layers", "machine"}))):
            raise TypeError(f"a diagnostic that is measured after training cannot ask for {gone[0]!r}")
        if not (self.once or names & END) and names & HISTORY and names - HISTORY:
            other = min(names - HISTORY)
            raise TypeError(f"a diagnostic that is measured after each epoch cannot ask for {other!r}")
        return names

    @property
    def when(self) -> str:
        """The time of the measurement: "step", "epoch" or "end"."""
        return "end" if self.once or self.asks & END else "epoch" if self.asks & HISTORY else "step"


def _parameters(function: Measure) -> frozenset[str]:
    """Return the names of a function's parameters, cached for plain functions since every run needs them."""
    plain = inspect.isfunction(function) and function.__closure__ is None
    return _cached_parameters(function) if plain else frozenset(inspect.signature(function).parameters)


@functools.lru_cache(1024)
def _cached_parameters(function: Measure) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
