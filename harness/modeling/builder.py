"""Build the objects of a run (model, task, metrics, optimizer factory ...) from its resolved config."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torchmetrics
from pytorch_lightning import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from harness.config import seeds
from harness.datasets.dataset import Dataset
from harness.datasets.sampling import first_samples, sampled_inputs
from harness.modeling.block import Block, Elementwise
from harness.modeling.diagnostic import Diagnostic
from harness.modeling.estimator import EstimatorModule
from harness.modeling.initial_weights import start_from
from harness.modeling.initialization import initialize, weights
from harness.modeling.lightning_models import refuse_ignored
from harness.modeling.profile import Probe, draws, probe
from harness.modeling.regularizer import Regularizer, does, having
from harness.modeling.task import Task
from harness.modeling.unused import ComponentUse, default_choice
from harness.registry.code_state import first_state
from harness.registry.component import asks
from harness.registry.instantiate import Node, component, is_unused, settings_of, trait
from harness.registry.kinds import AT_END, KEY
from harness.registry.registry import REGISTRY
from harness.results.run_id import components
from harness.results.study import find_weights
from harness.system.errors import HarnessError, one_line
from harness.system.process_state import drawing, kept, torch_on_one_thread

# Kinds of which code runs in a training step before the optimizer
STEP_KINDS = ("model", "activation", "normalization", "task", "loss", "regularizer", "augmentation")


@dataclass(frozen=True)
class FinalMetric:
    """A metric that is measured once, after training."""

    asks: frozenset[str]  # names of the arguments of `measure`
    higher_is_better: bool | None  # None if it declares no direction
    measure: Callable[..., float] = field(repr=False)


@dataclass
class RunComponents:
    """The objects of one run. Optimizers and schedulers are created later, when the parameters are on their device."""

    values: dict[str, Any]
    task: Task
    model: nn.Module
    probe: Probe
    regularizers: list[Regularizer]
    augmentations: list[Callable[..., Any]]
    metrics: dict[str, Callable[[], torchmetrics.Metric]]
    at_end: dict[str, FinalMetric]
    diagnostics: dict[str, Diagnostic]
    callbacks: dict[str, Callback]
    optimizer: Callable[..., torch.optim.Optimizer] = field(repr=False)
    scheduler: Callable[..., Any] = field(repr=False)
    closure: bool = False  # the optimizer's step evaluates the loss itself, as often as it needs
    gradient: bool = True  # False if that closure need not compute gradients
    uses: ComponentUse = field(default_factory=ComponentUse)  # components that the model uses

    @property
    def measured(self) -> list[str]:
        """The names of the values that each epoch adds to the history."""
        of_train = ["train/eval_loss", *(f"train/{name}" for name in self.metrics)] if self.evaluates_train else []
        return ["train/loss", "train/lr", *of_train, "val/loss", *(f"val/{name}" for name in self.metrics)]

    @property
    def evaluates_train(self) -> bool:
        """True if the training split is evaluated after each epoch: by setting, or since a regularizer watches it."""
        watched = {regularizer.watch for regularizer in having(self.regularizers, "should_stop")}
        by_regularizer = any(name.startswith("train/") for name in watched - {"train/loss", "train/lr"})
        return bool(self.values["evaluate_train"]) or by_regularizer


@kept()
def build(values: dict[str, Any], dataset: Dataset, total_steps: int, probed: Probe | None = None) -> RunComponents:
    """Build the objects of a run.

    Args:
        values: The resolved config.
        dataset: The data set, after transforms.
        total_steps: Number of optimizer steps of the run.
        probed: Result of probing a run of the same shape; None to probe the model.
    """
    return build_kept(values, dataset, total_steps, probed)


def build_kept(values: dict[str, Any], dataset: Dataset, total_steps: int, probed: Probe | None) -> RunComponents:
    """Build the objects of a run for a caller that keeps the state of the process (`kept`)."""
    with torch_on_one_thread(), drawing(values["seed"]):  # for components that draw from global generators
        return _build(values, dataset, total_steps, probed)


def _build(values: dict[str, Any], dataset: Dataset, total_steps: int, probed: Probe | None) -> RunComponents:
    classes = len(dataset.classes) if dataset.target == "class" else None
    task = make_task(values, dataset)
    regularizers = [
        component("regularizer", node, classes=classes, total_steps=total_steps)
        for node in values["regularizer"].values()
    ]
    first = functools.partial(sampled_inputs, dataset)
    shape = dataset.inputs, task.outputs(dataset), dataset.words
    uses = ComponentUse()
    model = task.prepare(make_model(values, *shape, regularizers, first, uses), dataset)
    if values["init_from"] is not None:
        start_from(model, find_weights(values["init_from"]))
        uses.taken = {choice for choice in uses.taken if choice[0] != "initializer"}
    if probed is None:
        probed = probe(model, first(2))
        if not probed.noisy and draws(task, model, first_samples(dataset, 2)):
            probed = replace(probed, noisy=True)
    offers = {
        "num_classes": len(dataset.classes) or None,
        "analogies": dataset.analogies,
        "task": values["task"][KEY],
    }
    each_epoch = {n: node for n, node in values["metric"].items() if not AT_END.intersection(_asks("metric", node))}
    return RunComponents(
        values=values,
        task=task,
        model=model,
        probe=probed,
        regularizers=regularizers,
        augmentations=[component("augmentation", node, classes=classes) for node in values["augmentation"].values()],
        metrics={n: functools.partial(component, "metric", node, **offers) for n, node in each_epoch.items()},
        at_end={n: _final_metric(node, offers) for n, node in values["metric"].items() if n not in each_epoch},
        diagnostics={n: make_diagnostic(n, node) for n, node in values["diagnostic"].items()},
        callbacks={n: make_callback(n, node) for n, node in values["callback"].items()},
        optimizer=functools.partial(make_optimizer, values["optimizer"]),
        scheduler=functools.partial(component, "scheduler", values["scheduler"]),
        closure=needs_closure(values["optimizer"]),
        gradient=trait("optimizer", values["optimizer"], "gradient", True),
        uses=uses,
    )


def step_code(runs: Sequence[RunComponents]) -> list[object]:
    """Return the functions and objects whose code computes the losses and gradients of runs of one shape."""
    first = runs[0]
    functions = [REGISTRY.get(kind, name) for kind, name in components(first.values) if kind in STEP_KINDS]
    regularizers = [regularizer for run in runs for regularizer in run.regularizers]
    return [*functions, first.model, first.task, getattr(first.task, "loss", None), *first.augmentations, *regularizers]


def make_optimizer(node: Node, **offers: Any) -> torch.optim.Optimizer:
    """Create an optimizer. The state of its code before its first use in this process is kept, to be restored later.

    Args:
        node: Config node of the optimizer.
        offers: Values that can be injected, by name.

    Raises:
        TypeError: If the component returns something else.
    """
    first_state(REGISTRY.get("optimizer", node[KEY]))
    optimizer = component("optimizer", node, **offers)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer {node[KEY]} returned {type(optimizer).__name__}, not a torch.optim.Optimizer")
    return optimizer


def make_task(values: dict[str, Any], dataset: Dataset) -> Task:
    """Create the task of a run with its loss."""
    node = values["loss"]
    offers = {"class_counts": _class_counts(values, dataset)} if "class_counts" in _asks("loss", node) else {}
    loss = functools.partial(REGISTRY.get("loss", node[KEY]), **offers, **settings_of("loss", node))
    task: Task = component("task", values["task"], loss=loss, dataset=dataset)
    return task


def weighted(values: dict[str, Any]) -> bool:
    """Return True if the loss weights classes by their frequency."""
    return bool(trait("loss", values["loss"], "weighted", "none") != "none")


def _class_counts(values: dict[str, Any], dataset: Dataset) -> Tensor | None:
    if not weighted(values):
        return None
    if dataset.class_counts is None or trait("task", values["task"], "tuples", False):
        raise HarnessError(
            f"loss {values['loss'][KEY]} with weights needs classes that are counted before training, but task "
            f"{values['task'][KEY]} on data {values['data'][KEY]} has none: set loss.weights=none"
        )
    return dataset.class_counts


def _asks(kind: str, node: Node) -> list[str]:
    return asks(REGISTRY.get(kind, node[KEY]))


def _final_metric(node: Node, offers: dict[str, Any]) -> FinalMetric:
    return FinalMetric(
        frozenset(_asks("metric", node)),
        trait("metric", node, "higher_is_better", None),
        functools.partial(component, "metric", node, **offers),
    )


def make_diagnostic(name: str, node: Node) -> Diagnostic:
    """Create a diagnostic.

    Raises:
        TypeError: If the component returns something else, or if its measurement asks for an unknown argument.
    """
    diagnostic = component("diagnostic", node)
    if not isinstance(diagnostic, Diagnostic):
        raise TypeError(f"diagnostic {name} returned {type(diagnostic).__name__}, not a harness.Diagnostic")
    assert diagnostic.asks is not None
    return diagnostic


def make_callback(name: str, node: Node) -> Callback:
    """Create a callback of Lightning.

    Raises:
        HarnessError: If Lightning refuses a setting.
        TypeError: If the component returns something else.
    """
    try:
        callback = component("callback", node)
    except MisconfigurationException as error:
        raise HarnessError(f"callback {name}: {one_line(error)}") from error
    if not isinstance(callback, Callback):
        raise TypeError(f"callback {name} returned {type(callback).__name__}, not a pytorch_lightning.Callback")
    return callback


def needs_closure(optimizer: Node) -> bool:
    """Return True if an optimizer's step needs a function that evaluates the loss."""
    return any((trait("optimizer", optimizer, "closure", False), not trait("optimizer", optimizer, "gradient", True)))


def check_closure(name: str, optimizer: Any, declared: bool) -> None:
    """Refuse an optimizer whose step needs a closure without declaring it.

    Args:
        name: Name of the optimizer.
        optimizer: The optimizer.
        declared: True if the component declares the trait `closure`.

    Raises:
        HarnessError: If it needs an undeclared closure.
    """
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
    """Create the model with its initial weights, in float32 on the CPU.

    The weights only depend on the run's seed, and on the data if the initializer uses a batch.

    Args:
        values: The resolved config.
        inputs: Shape of one sample's input.
        outputs: Number of outputs.
        vocabulary: Number of words that inputs are indices of; None for real inputs.
        regularizers: The regularizers of the config, in its order.
        batch: Returns inputs for a data-driven initializer; None if the weights will be replaced.
        uses: Gets the components that the model uses.

    Raises:
        HarnessError: If the model component returns something else than a module, or cannot be trained by harness.
    """
    uses = ComponentUse() if uses is None else uses
    seed, named = values["seed"], dict(zip(values["regularizer"], regularizers, strict=True))
    uses.add_regularizers(named)
    activation, normalization = values["activation"], values["normalization"]
    wraps_layers = not is_unused("normalization", normalization) and "layer" in _asks("normalization", normalization)
    generator = seeds.generator(seed, "normalization")

    def factories(hook: str) -> list[Callable[..., Any]]:
        return [uses.tracked("regularizer", n, getattr(r, hook)) for n, r in named.items() if does(r, hook)]

    block = Block(
        activation=uses.tracked("activation", activation[KEY], functools.partial(make_activation, activation)),
        normalization=uses.tracked(
            "normalization",
            normalization[KEY],
            lambda features, ndim: (
                None
                if wraps_layers
                else component("normalization", normalization, features=features, ndim=ndim, generator=generator)
            ),
        ),
        layers=factories("layer"),
        bias=not trait("normalization", normalization, "cancels_bias", False),
        factor=trait("activation", activation, "width_factor", 1),
        branches=factories("branch"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.derive(seed, "model"))  # enough, since models are made on the CPU
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
    if wraps_layers:
        for layer, name in weights(model):
            uses.taken.add(("normalization", normalization[KEY]))
            component("normalization", normalization, layer=layer, name=name, generator=generator)
    return model


def make_activation(node: Node, features: int) -> nn.Module:
    """Create an activation as a module.

    Args:
        node: Config node of the activation.
        features: Number of channels, on axis 1.
    """
    function = REGISTRY.get("activation", node[KEY])
    if "x" in asks(function):
        return Elementwise(function, settings_of("activation", node), node[KEY])
    module: nn.Module = component("activation", node, features=features, axis=1)
    return module


def _initialize(model: nn.Module, values: dict[str, Any], batch: Callable[[], Tensor] | None) -> None:
    node, generator = values["initializer"], seeds.generator(values["seed"], "initializer")
    if is_unused("initializer", node):
        return
    activation = values["activation"]
    if is_unused("activation", activation):  # use the gain of the default activation
        activation = {KEY: default_choice("activation")}
    fill, settings = REGISTRY.get("initializer", node[KEY]), settings_of("initializer", node)
    names, gain = asks(fill), trait("activation", activation, "gain", 1.0)
    if "model" not in names:
        initialize(model, lambda **offers: fill(*(offers[name] for name in names), **settings), gain, generator)
    elif batch is not None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            x = batch() if "batch" in names else None
            component("initializer", node, model=model, batch=x, gain=gain, generator=generator)
