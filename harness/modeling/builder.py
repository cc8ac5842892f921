"""From a resolved config and the registry to live objects."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torchmetrics
from torch import Tensor, nn

from harness.config import seeds
from harness.datasets.dataset import Dataset, first_inputs, first_samples
from harness.modeling.block import Block, Elementwise
from harness.modeling.diagnostic import Diagnostic
from harness.modeling.estimator import EstimatorModule
from harness.modeling.initialization import initialize, weights
from harness.modeling.lightning_models import refuse_ignored
from harness.modeling.profile import Probe, draws, probe
from harness.modeling.regularizer import Regularizer, does
from harness.modeling.task import Task
from harness.modeling.unused import ComponentUse, default_choice
from harness.registry.code_state import first_state
from harness.registry.component import asks
from harness.registry.instantiate import Node, component, is_unused, settings_of, trait
from harness.registry.kinds import AT_END, KEY
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError
from harness.system.process_state import drawing, kept


@dataclass(frozen=True)
class FinalMetric:
    """A metric that is measured once, when a run has ended: `measure` is called with what it `asks` for, by name."""

    asks: frozenset[str]
    higher_is_better: bool
    measure: Callable[..., float] = field(repr=False)


@dataclass
class RunComponents:
    """The live objects of one run; optimizers and schedulers are made when the parameters are on their device."""

    values: dict[str, Any]
    task: Task
    model: nn.Module
    probe: Probe
    regularizers: list[Regularizer]
    augmentations: list[Callable[..., Any]]
    metrics: dict[str, Callable[[], torchmetrics.Metric]]
    at_end: dict[str, FinalMetric]
    diagnostics: dict[str, Diagnostic]
    optimizer: Callable[..., torch.optim.Optimizer] = field(repr=False)
    scheduler: Callable[..., Any] = field(repr=False)
    closure: bool = False  # the optimizer evaluates the loss itself, as often as it wants to
    gradient: bool = True  # and wants its gradient
    uses: ComponentUse = field(default_factory=ComponentUse)  # what the network has a place for

    @property
    def measured(self) -> list[str]:
        """What each epoch measures, by the names of a history's values."""
        return ["train/loss", "train/lr", "val/loss", *(f"val/{name}" for name in self.metrics)]


@kept()
def build(values: dict[str, Any], dataset: Dataset, total_steps: int, probed: Probe | None = None) -> RunComponents:
    """Everything that a run of a resolved config needs; `probed` is what a run of its shape was found to be like."""
    with drawing(values["seed"]):  # for draws from generators that are nobody's
        return _build(values, dataset, total_steps, probed)


def _build(values: dict[str, Any], dataset: Dataset, total_steps: int, probed: Probe | None) -> RunComponents:
    classes = len(dataset.classes) if dataset.target == "class" else None
    task = make_task(values, dataset)
    regularizers = [
        component("regularizer", node, classes=classes, total_steps=total_steps)
        for node in values["regularizer"].values()
    ]
    first = functools.partial(first_inputs, dataset)
    shape = dataset.inputs, task.outputs(dataset), dataset.words
    uses = ComponentUse()
    model = task.prepare(make_model(values, *shape, regularizers, first, uses), dataset)
    if probed is None:
        probed = probe(model, first(2))
        if not probed.noisy and draws(task, model, first_samples(dataset, 2)):
            probed = replace(probed, noisy=True)
    known = {
        "num_classes": len(dataset.classes) or None,
        "analogies": dataset.analogies,
        "task": values["task"][KEY],
    }
    watched = {n: node for n, node in values["metric"].items() if not AT_END.intersection(_asked("metric", node))}
    return RunComponents(
        values=values,
        task=task,
        model=model,
        probe=probed,
        regularizers=regularizers,
        augmentations=[component("augmentation", node, classes=classes) for node in values["augmentation"].values()],
        metrics={n: functools.partial(component, "metric", node, **known) for n, node in watched.items()},
        at_end={n: _at_end(node, known) for n, node in values["metric"].items() if n not in watched},
        diagnostics={n: make_diagnostic(n, node) for n, node in values["diagnostic"].items()},
        optimizer=functools.partial(make_optimizer, values["optimizer"]),
        scheduler=functools.partial(component, "scheduler", values["scheduler"]),
        closure=needs_closure(values["optimizer"]),
        gradient=trait("optimizer", values["optimizer"], "gradient", True),
        uses=uses,
    )


def make_optimizer(node: Node, **offers: Any) -> torch.optim.Optimizer:
    """Make an optimizer. The state of its code is remembered as it was before this process first made one."""
    first_state(REGISTRY.get("optimizer", node[KEY]))
    made: torch.optim.Optimizer = component("optimizer", node, **offers)
    return made


def make_task(values: dict[str, Any], dataset: Dataset) -> Task:
    """The task with its loss."""
    node = values["loss"]
    offers = {"class_counts": _class_counts(values, dataset)} if "class_counts" in _asked("loss", node) else {}
    loss = functools.partial(REGISTRY.get("loss", node[KEY]), **offers, **settings_of("loss", node))
    made: Task = component("task", values["task"], loss=loss, dataset=dataset)
    return made


def weighted(values: dict[str, Any]) -> bool:
    """Whether the loss weighs classes by how often they occur."""
    return bool(trait("loss", values["loss"], "weighted", "none") != "none")


def _class_counts(values: dict[str, Any], dataset: Dataset) -> Tensor | None:
    if not weighted(values):
        return None
    if dataset.class_counts is None or trait("task", values["task"], "tuples", False):
        raise HarnessError(
            f"loss {values['loss'][KEY]} with weights wants classes that are counted before training, and task "
            f"{values['task'][KEY]} on data {values['data'][KEY]} has none: set loss.weights=none"
        )
    return dataset.class_counts


def _asked(kind: str, node: Node) -> list[str]:
    return asks(REGISTRY.get(kind, node[KEY]))


def _at_end(node: Node, known: dict[str, Any]) -> FinalMetric:
    return FinalMetric(
        frozenset(_asked("metric", node)),
        bool(trait("metric", node, "higher_is_better", False)),
        functools.partial(component, "metric", node, **known),
    )


def make_diagnostic(name: str, node: Node) -> Diagnostic:
    """A diagnostic. Raises TypeError where it asks for what is not there."""
    made = component("diagnostic", node)
    if not isinstance(made, Diagnostic):
        raise TypeError(f"diagnostic {name} returned {type(made).__name__}, not a harness.Diagnostic")
    assert made.asks is not None
    return made


def needs_closure(optimizer: Node) -> bool:
    """Whether an optimizer is stepped with a function that evaluates the loss."""
    return any((trait("optimizer", optimizer, "closure", False), not trait("optimizer", optimizer, "gradient", True)))


def check_closure(name: str, optimizer: Any, declared: bool) -> None:
    """Raise HarnessError if an optimizer's step needs a closure, and its author has not said so."""
    step = inspect.signature(type(optimizer).step).parameters.get("closure")
    if step is not None and step.default is step.empty and not declared:
        raise HarnessError(
            f"optimizer {name}: its step(closure) evaluates the loss by itself: write @harness.optimizer(closure=True)"
        )


def make_model(
    values: dict[str, Any],
    inputs: tuple[int, ...],
    outputs: int,
    vocabulary: int | None,
    regularizers: list[Regularizer],
    batch: Callable[[], Tensor] | None = None,
    uses: ComponentUse | None = None,
) -> nn.Module:
    """The model with its initial weights, a function of the run's seed (and of its data, where the initializer looks
    at a batch) alone, in float32 on the CPU. Without a `batch` the weights are going to be replaced.

    `uses` is told which components the model took.
    """
    uses = ComponentUse() if uses is None else uses
    seed, named = values["seed"], dict(zip(values["regularizer"], regularizers, strict=True))
    uses.note(named)
    activation, normalization = values["activation"], values["normalization"]
    of_layers = not is_unused("normalization", normalization) and "layer" in _asked("normalization", normalization)
    drawn = seeds.generator(seed, "normalization")

    def places(hook: str) -> list[Callable[..., Any]]:
        return [uses.noting("regularizer", n, getattr(r, hook)) for n, r in named.items() if does(r, hook)]

    block = Block(
        activation=uses.noting("activation", activation[KEY], functools.partial(make_activation, activation)),
        normalization=uses.noting(
            "normalization",
            normalization[KEY],
            lambda features, ndim: (
                None
                if of_layers
                else component("normalization", normalization, features=features, ndim=ndim, generator=drawn)
            ),
        ),
        layers=places("layer"),
        bias=not trait("normalization", normalization, "cancels_bias", False),
        factor=trait("activation", activation, "width_factor", 1),
        branches=places("branch"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.derive(seed, "model"))  # no other: models are made on the CPU
        model = component(
            "model",
            values["model"],
            inputs=inputs,
            outputs=outputs,
            vocabulary=vocabulary,
            block=block,
            generator=seeds.generator(seed, "model"),
        )
    if trait("model", values["model"], "estimator", False):
        return EstimatorModule(model)
    if not isinstance(model, nn.Module):
        raise HarnessError(f"model {values['model'][KEY]} returned {type(model).__name__}, not a torch.nn.Module")
    refuse_ignored(values["model"][KEY], model, trait("model", values["model"], "forward_only", False))
    _initialize(model, values, batch)
    if weights(model) or trait("initializer", values["initializer"], "keeps", False):
        uses.taken.add(("initializer", values["initializer"][KEY]))
    if of_layers:
        for layer, name in weights(model):
            uses.taken.add(("normalization", normalization[KEY]))
            component("normalization", normalization, layer=layer, name=name, generator=drawn)
    return model


def make_activation(node: Node, features: int) -> nn.Module:
    """An activation as a module, for `features` channels on the axis behind the batch's."""
    function = REGISTRY.get("activation", node[KEY])
    if "x" in asks(function):
        return Elementwise(function, settings_of("activation", node), node[KEY])
    made: nn.Module = component("activation", node, features=features, axis=1)
    return made


def _initialize(model: nn.Module, values: dict[str, Any], batch: Callable[[], Tensor] | None) -> None:
    node, generator = values["initializer"], seeds.generator(values["seed"], "initializer")
    if is_unused("initializer", node):
        return
    activation = values["activation"]
    if is_unused("activation", activation):  # layers without one are filled as before the usual one
        activation = {KEY: default_choice("activation")}
    fill, settings = REGISTRY.get("initializer", node[KEY]), settings_of("initializer", node)
    asked, gain = asks(fill), trait("activation", activation, "gain", 1.0)
    if "model" not in asked:
        initialize(model, lambda **offers: fill(*(offers[name] for name in asked), **settings), gain, generator)
    elif batch is not None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            x = batch() if "batch" in asked else None
            component("initializer", node, model=model, batch=x, gain=gain, generator=generator)
