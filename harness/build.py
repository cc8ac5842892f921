"""From a resolved config and the registry to live objects."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torchmetrics
from torch import nn

from harness import seeds
from harness.block import Block, Elementwise
from harness.component import Mark, asks, mark_of, parameters
from harness.dataset import Dataset
from harness.errors import HarnessError
from harness.initialize import initialize
from harness.probe import Probe, probe
from harness.registry import REGISTRY
from harness.regularization import Regularizer, having
from harness.schema import KEY
from harness.tasks import Task
from harness.types import convert

Node = Mapping[str, Any]


def settings_of(kind: str, node: Node) -> dict[str, Any]:
    """A node's settings, each of the type that the component declares."""
    function = REGISTRY.get(kind, node[KEY])
    return {p.name: convert(p.hint, node.get(p.name, p.default)) for p in parameters(function)}


def component(kind: str, node: Node, **offers: Any) -> Any:
    """Calls a component with what it asks for and what the config sets."""
    function = REGISTRY.get(kind, node[KEY])
    return function(*(offers[name] for name in asks(function)), **settings_of(kind, node))


def trait(kind: str, node: Node, name: str, default: Any) -> Any:
    """A trait of a component; where it depends on the settings, the trait is a function of them."""
    mark = mark_of(REGISTRY.get(kind, node[KEY]))
    assert isinstance(mark, Mark)
    value = mark.traits.get(name, default)
    return value(**settings_of(kind, node)) if callable(value) else value


@dataclass
class Parts:
    """The live objects of one run; optimizers and schedulers are made when the parameters are on their device."""

    values: dict[str, Any]
    task: Task
    model: nn.Module
    probe: Probe
    regularizers: list[Regularizer]
    augmentations: list[Callable[..., Any]]
    metrics: dict[str, Callable[[], torchmetrics.Metric]]
    optimizer: Callable[..., torch.optim.Optimizer] = field(repr=False)
    scheduler: Callable[..., Any] = field(repr=False)


def build(values: dict[str, Any], dataset: Dataset, total_steps: int, probed: Probe | None = None) -> Parts:
    """Everything that a run of a resolved config needs; `probed` is what a run of its shape was found to be like."""
    classes = len(dataset.classes) if dataset.target == "class" else None
    loss = functools.partial(REGISTRY.get("loss", values["loss"][KEY]), **settings_of("loss", values["loss"]))
    task = component("task", values["task"], loss=loss, dataset=dataset)
    regularizers = [
        component("regularizer", node, classes=classes, total_steps=total_steps)
        for node in values["regularizer"].values()
    ]
    model = make_model(values, dataset.inputs, dataset.width, regularizers)
    return Parts(
        values=values,
        task=task,
        model=model,
        probe=probed or probe(model, dataset.inputs),
        regularizers=regularizers,
        augmentations=[component("augmentation", node, classes=classes) for node in values["augmentation"].values()],
        metrics={
            name: functools.partial(component, "metric", node, num_classes=classes)
            for name, node in values["metric"].items()
        },
        optimizer=functools.partial(component, "optimizer", values["optimizer"]),
        scheduler=functools.partial(component, "scheduler", values["scheduler"]),
    )


def make_model(
    values: dict[str, Any], inputs: tuple[int, ...], outputs: int, regularizers: list[Regularizer]
) -> nn.Module:
    """The model with its initial weights, a function of the run's seed alone, in float32 on the CPU."""
    seed = values["seed"]
    activation, normalization = values["activation"], values["normalization"]
    function, settings = REGISTRY.get("activation", activation[KEY]), settings_of("activation", activation)
    block = Block(
        activation=lambda: Elementwise(function, settings, activation[KEY]),
        normalization=lambda features, ndim: component("normalization", normalization, features=features, ndim=ndim),
        layers=[r.layer for r in having(regularizers, "layer")],
        bias=not trait("normalization", normalization, "cancels_bias", False),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "model"))
        model = component(
            "model",
            values["model"],
            inputs=inputs,
            outputs=outputs,
            block=block,
            generator=seeds.generator(seed, "model"),
        )
    if not isinstance(model, nn.Module):
        raise HarnessError(f"model {values['model'][KEY]} returned {type(model).__name__}, not a torch.nn.Module")
    fill_with, fill_settings = (
        REGISTRY.get("initializer", values["initializer"][KEY]),
        settings_of("initializer", values["initializer"]),
    )

    def fill(**offers: Any) -> None:
        fill_with(*(offers[name] for name in asks(fill_with)), **fill_settings)

    initialize(model, fill, trait("activation", activation, "gain", 1.0), seeds.generator(seed, "initializer"))
    return model
