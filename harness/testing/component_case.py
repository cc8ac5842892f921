"""One component as the checks see it: its settings, what it is offered, and how it is called."""

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
from harness.config.schema import entry_parameters
from harness.modeling.block import Block
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.registry.component import Parameter, asks, parameters
from harness.registry.kinds import KEY
from harness.registry.param_types import convert, space_of

# What these kinds make is made while a model is: there torch's own generator is seeded by the run.
IN_MODELS = ("model", "activation", "normalization", "regularizer")


class Fault(AssertionError):
    """What a check has found; the text says what was expected and what was seen."""


class Inapplicable(Exception):
    """A check that says nothing of this component; the text says why."""


def expect(holds: Any, finding: str) -> None:
    """Raises Fault unless it holds."""
    if not holds:
        raise Fault(finding)


@dataclass(frozen=True)
class Case:
    """A component with settings, and a folder that it may write to."""

    entry: Mapping[str, Any]  # its row in the catalogue
    function: Callable[..., Any] = field(repr=False)
    folder: Path
    given: Mapping[str, Any] = field(default_factory=dict)  # settings that differ from the defaults
    brief: bool = False  # one of its tasks stands for all
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # what one check leaves to another

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
        """What it asks the harness for."""
        return asks(self.function)

    @property
    def parameters(self) -> list[Parameter]:
        """Its settings, as it declares them."""
        return parameters(self.function)

    @property
    def settings(self) -> dict[str, Any]:
        """The value of every setting. Raises Inapplicable where one must be given, and is not."""
        found = {}
        for p in self.parameters:
            if p.required and p.name not in self.given:
                raise Inapplicable(
                    f"its setting {p.name} has no default: say it with --set {self.label}.{p.name}=VALUE"
                )
            found[p.name] = convert(p.hint, self.given.get(p.name, p.default))
        return found

    @property
    def node(self) -> dict[str, Any]:
        """It in a config."""
        return {KEY: self.name} | self.settings

    def trait(self, name: str, default: Any = None, **known: Any) -> Any:
        """A trait for these settings: it may name one of them, or be a function of some of them (and of `known`)."""
        value = self.function.__harness__.traits.get(name, default)  # type: ignore[attr-defined]
        settings = self.settings | known
        if callable(value):
            taken = inspect.signature(value).parameters.values()
            if any(p.kind is p.VAR_KEYWORD for p in taken):
                return value(**settings)
            return value(**{p.name: settings[p.name] for p in taken})
        return settings[value] if isinstance(value, str) and value in settings else value

    def told(self, trait: str) -> tuple[Any, ...]:
        """A trait that is a list; empty where it is not declared."""
        return tuple(self.entry["traits"].get(trait) or ())

    def sampled(self, seed: int) -> Case | None:
        """With a sample of every space; None where there is no space."""
        rng = Random(seed)
        drawn = {p.name: space.sample(rng) for p in entry_parameters(dict(self.entry)) if (space := space_of(p.hint))}
        free = {name: value for name, value in drawn.items() if name not in self.given}
        return replace(self, given={**self.given, **free}, brief=True, kept={}) if free else None

    def make(self, **offers: Any) -> Any:
        """Calls it as the harness does. `offers` stand in for what it is usually offered here."""
        offered = {name: offers[name] if name in offers else self._offer(name) for name in self.asks}
        with self._chance():
            return self.function(*offered.values(), **self.settings)

    def compute(self) -> Callable[..., Any]:
        """A function of tensors with its settings: an activation or a loss."""
        settings = self.settings
        return lambda *x: self.function(*x, **settings)

    def activate(self) -> tuple[Callable[[Tensor], Tensor], int]:
        """An activation, and how many channels it wants for one of its output (0 where any will do)."""
        if "x" in self.asks:
            return self.compute(), 0
        width = int(self.trait("width_factor", 1))
        return self.make(features=3 * width, axis=1), width

    @contextlib.contextmanager
    def _chance(self) -> Iterator[None]:
        if self.kind not in IN_MODELS:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(0, "model"))
            yield

    def _offer(self, name: str) -> Any:
        return offer(name, self.kind, self.folder)


def offer(name: str, kind: str, folder: Path) -> Any:
    """What is offered by this name where it matters little what it is."""
    from harness.config.settings import Split

    simple: dict[str, Callable[[], Any]] = {
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
    if name not in simple:
        raise Inapplicable(f"these checks have no {name} to offer")
    return simple[name]()


def smooth_block() -> Block:
    """Blocks that are smooth functions without chance, so that finite differences and gradients can be compared."""
    return Block(lambda features: nn.SiLU(), lambda features, ndim: None, [], True)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer whose making draws from no one's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(inputs, outputs)


def noise(step: int = 0) -> Noise:
    """The noise of a step of a run with seed 0."""
    return Noise(keys(torch.tensor(0), step))


def redirected(step: int = 0) -> Redirect:
    """As in training: torch's own random functions draw from the step's noise."""
    return Redirect(noise(step))


def drawn(shape: tuple[int, ...], *purpose: object, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers that no one else's draws move."""
    return torch.randn(shape, generator=seeds.generator(0, "testing", *purpose), dtype=torch.float64).to(dtype)
