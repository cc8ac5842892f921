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

# Names of the parameters of a measurement, by what it takes to provide them.
STEP = frozenset({"previous", "start", "grads", "lr", "batch_size", "each"})  # values of the last step
PROBE = frozenset({"layers", "slopes", "start_layers"})  # a forward and backward pass of the probe samples
PURE = frozenset({"params", "loss", "x", "y", "prediction", "target"})  # values of the probe samples
HISTORY = frozenset({"history", "machine"})  # available after each epoch, on the host
END = frozenset({"model", "dataset", "task"})  # available once, after training, on the host
OFFERS = STEP | PROBE | PURE | HISTORY | END


class Layer(NamedTuple):
    """What a module made of the probe samples."""

    output: Tensor  # [N, ...]
    gradient: Tensor  # [N, ...], of each sample's own loss by its output
    role: str  # activation | normalization | weights | other


class Histogram(NamedTuple):
    """Counts [B] of the values between edges [B + 1]."""

    counts: Tensor
    edges: Tensor


class Image(NamedTuple):
    """A picture [1 or 3, H, W] of values in 0 .. 1."""

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
    """`measure` is called with what its parameters ask for by their names, and returns {tag: a scalar tensor, a
    Histogram or an Image}; one that is measured once, when the run has ended, may return Text, Embeddings and PrCurves.

    A measurement of a step (all but those that ask for history, machine, model, dataset or task) is a pure function of
    tensors, without control flow that depends on their values: many runs are measured as one program. It may be handed

    - `params`, `previous`, `start`: the parameters {name: tensor} after the step, before it, and at the beginning;
      `grads`, with which the step was made; `lr`, the learning rate; `batch_size`, in samples, of which `each` stand
      together (those of a tuple; else 1);
    - `x`, `y`: samples of the training split to look at, without augmentation; `prediction` and `target`: what the
      task makes of as many validation samples in evaluation mode;
    - `layers`: {name: Layer} of every module that does something by itself, in the order in which they act on x, as in
      training; `slopes`: {name: f'(its input) [N, ...]} of its element-wise activations; `start_layers`: {name: output
      [N, ...]} as it was at the beginning;
    - `loss(params, x, y, draw=0, train=True)`: the training loss as a function of parameters, and of samples where they
      are given: to be differentiated with torch.func. Its noise is the same each time, and another for another `draw`;
      with `train=False` the model is in evaluation mode;
    - `history`: the metrics of every epoch so far; `machine`: {samples_per_s, waiting, cores, memory} of the epoch's
      training, with device_memory and device_busy where a device tells, which is no function of the run;
    - `model` (trained, in evaluation mode), `dataset` and `task`.
    """

    measure: Measure
    every: int = 0
    once: bool = False  # when the run has ended, and not at its steps

    @functools.cached_property
    def asks(self) -> frozenset[str]:
        """The names of what it wants to be handed. Raises TypeError for what is not there."""
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
        """step | epoch | end"""
        return "end" if self.once or self.asks & END else "epoch" if self.asks & HISTORY else "step"


def _parameters(function: Measure) -> frozenset[str]:
    """Return the names of a function's parameters, cached for plain functions since every run needs them."""
    plain = inspect.isfunction(function) and function.__closure__ is None
    return _cached_parameters(function) if plain else frozenset(inspect.signature(function).parameters)


@functools.lru_cache(1024)
def _cached_parameters(function: Measure) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
