"""The component under test, with its settings and the values that the checks inject into it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from harness.config import seeds
from harness.modeling.block import Block
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.registry.catalogue import entry_parameters
from harness.registry.component import Parameter, asks, parameters
from harness.registry.kinds import KEY
from harness.registry.param_types import convert, space_of

# Kinds that run while a model is built, when torch's own generator is seeded by the run.
IN_MODELS = ("model", "activation", "normalization", "regularizer")


class Fault(AssertionError):
    """Raised by a check for a mistake of the component; the message is the finding."""


class Inapplicable(Exception):
    """Raised by a check that does not apply to the component; the message is the reason."""


def expect(holds: Any, finding: str) -> None:
    """Raise Fault with a finding unless a condition holds."""
    if not holds:
        raise Fault(finding)


@dataclass(frozen=True)
class Case:
    """A component with settings, and a folder for its files."""

    entry: Mapping[str, Any]  # its entry in the catalogue
    function: Callable[..., Any] = field(repr=False)
    folder: Path
    given: Mapping[str, Any] = field(default_factory=dict)  # settings that differ from the defaults
    brief: bool = False  # test only one of its tasks
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # results for later checks

    @property
    def kind(self) -> str:
        return str(self.entry["kind"])

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def label(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def asks(self) -> list[str]:
        """The names of the parameters that harness injects."""
        return asks(self.function)

    @property
    def parameters(self) -> list[Parameter]:
        """The settings that it declares."""
        return parameters(self.function)

    @property
    def settings(self) -> dict[str, Any]:
        """The value of every setting.

        Raises:
            Inapplicable: If a setting without a default is not given.
        """
        values = {}
        for p in self.parameters:
            if p.required and p.name not in self.given:
                raise Inapplicable(
                    f"its setting {p.name} has no default: give it with --set {self.label}.{p.name}=VALUE"
                )
            values[p.name] = convert(p.hint, self.given.get(p.name, p.default))
        return values

    @property
    def node(self) -> dict[str, Any]:
        """Its config node."""
        return {KEY: self.name} | self.settings

    def trait(self, name: str, default: Any = None, **known: Any) -> Any:
        """Return a trait, which may be the name of a setting or a function of settings and of `known` values."""
        value = self.function.__harness__.traits.get(name, default)  # type: ignore[attr-defined]
        settings = self.settings | known
        if callable(value):
            parameters = inspect.signature(value).parameters.values()
            if any(p.kind is p.VAR_KEYWORD for p in parameters):
                return value(**settings)
            return value(**{p.name: settings[p.name] for p in parameters})
        return settings[value] if isinstance(value, str) and value in settings else value

    def list_trait(self, trait: str) -> tuple[Any, ...]:
        """Return a trait that is a list; empty if it is not declared."""
        return tuple(self.entry["traits"].get(trait) or ())

    def sampled(self, seed: int) -> Case | None:
        """Return the case with a sample of every search space, or None if there is no space."""
        rng = Random(seed)
        drawn = {p.name: space.sample(rng) for p in entry_parameters(dict(self.entry)) if (space := space_of(p.hint))}
        free = {name: value for name, value in drawn.items() if name not in self.given}
        return replace(self, given={**self.given, **free}, brief=True, kept={}) if free else None

    def make(self, **offers: Any) -> Any:
        """Call the component as harness does.

        Args:
            offers: Values to inject, by name; the others have defaults.
        """
        injected = {name: offers[name] if name in offers else self._offer(name) for name in self.asks}
        with self._seeded():
            return self.function(*injected.values(), **self.settings)

    def compute(self) -> Callable[..., Any]:
        """Return an activation or a loss as a function of tensors, with its settings."""
        settings = self.settings
        return lambda *x: self.function(*x, **settings)

    def activate(self) -> tuple[Callable[[Tensor], Tensor], int]:
        """Return an activation, and its number of input channels per output channel (0 for any)."""
        if "x" in self.asks:
            return self.compute(), 0
        width = int(self.trait("width_factor", 1))
        return self.make(features=3 * width, axis=1), width

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        if self.kind not in IN_MODELS:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(0, "model"))
            yield

    def _offer(self, name: str) -> Any:
        return offer(name, self.kind, self.folder)


def offer(name: str, kind: str, folder: Path) -> Any:
    """Return a default value to inject, by the name of the parameter."""
    from harness.config.settings import Split

    defaults: dict[str, Callable[[], Any]] = {
        "total_steps": lambda: 40,
        "classes": lambda: 3,
        "class_counts": lambda: None,
        "num_classes": lambda: 3,
        "vocabulary": lambda: 12,
        "split": Split,
        "cache_dir": lambda: str(folder),
        "run_dir": lambda: str(folder),
        "name": lambda: "weight" if kind == "normalization" else "test",
        "in_sweep": lambda: False,
        "jobs": lambda: 1,
        "gain": lambda: 1.0,
        "index": lambda: 0,
        "axis": lambda: 1,
        "features": lambda: 3,
        "ndim": lambda: 0,
        "generator": lambda: seeds.generator(0, "testing"),
        "block": smooth_block,
    }
    if name not in defaults:
        raise Inapplicable(f"these checks have no value for {name}")
    return defaults[name]()


def smooth_block() -> Block:
    """Return blocks that are smooth deterministic functions, so that gradients equal finite differences."""
    return Block(lambda features: nn.SiLU(), lambda features, ndim: None, [], True)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer with fixed weights, without a draw from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(inputs, outputs)


def noise(step: int = 0) -> Noise:
    """Return the noise of a step of a run with seed 0."""
    return Noise(keys(torch.tensor(0), step))


def redirected(step: int = 0) -> Redirect:
    """Return a context in which torch's random functions draw from a step's noise, as in training."""
    return Redirect(noise(step))


def drawn(shape: tuple[int, ...], *purpose: object, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return standard normal numbers that only depend on shape and purpose."""
    return torch.randn(shape, generator=seeds.generator(0, "testing", *purpose), dtype=torch.float64).to(dtype)
