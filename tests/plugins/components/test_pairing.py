"""The pairing matrix: components that fit together train and improve, others are refused in one line.

All pairs come from the catalogue. The results of a component have tests of their own, and so has its stacking,
in `tests/training/vectorized`; here components are only combined.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.config.composition import compose
from harness.config.schema import default_node
from harness.config.settings import typed_settings
from harness.datasets.dataset import SPLITS, Dataset, Samples, size
from harness.datasets.loading import load
from harness.execution.preparation import make_plan
from harness.execution.resolve import resolve
from harness.execution.run_recorder import make_member
from harness.modeling.builder import RunComponents, build
from harness.modeling.calling import calling
from harness.modeling.estimator import EstimatorModule
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.system.errors import HarnessError
from harness.training.fit import Run, fit, make_trainer
from harness.training.run_state import RunState

BUILT_IN = [e for e in catalogue.current() if e["plugin"] == "harness"]
MODELS = {e["name"]: e["traits"] for e in BUILT_IN if e["kind"] == "model"}
TASKS = {e["name"]: e["traits"] for e in BUILT_IN if e["kind"] == "task"}
PAIRS = [(model, task) for model, traits in MODELS.items() for task in traits["tasks"]]
IN_NETWORKS = ("activation", "normalization", "initializer", "optimizer", "regularizer", "augmentation", "scheduler")
FETCHED = ("cifar10", "mnist", "fashion_mnist")  # not available on this machine
NETWORKS = {
    "mlp": ("digits", {"width": 16}),
    "cnn": ("digits", {"channels": [4, 8]}),
    "rnn": ("majority", {"width": 8, "readout": 1}),  # the block is in the hidden layers of the readout
}
SMALL = {  # models or tasks that have some
    "width": 8, "trees": 10, "channels": [3, 4], "heads": 2,
    "way": 2, "train_way": 2, "query": 2, "episodes": 60, "evaluated": 10,
}  # fmt: skip

Values = dict[str, Any]


def named(kind: str) -> list[str]:
    """Return the built-in components of a kind that need no settings."""
    entries = [e for e in BUILT_IN if e["kind"] == kind and not any(p["required"] for p in e["parameters"])]
    return [e["name"] for e in entries]


def node(kind: str, name: str, **settings: Any) -> Values:
    """Return a component's node with its defaults, and those of some settings that it has."""
    result = default_node(catalogue.current(), kind, name)
    return result | {key: value for key, value in settings.items() if type(result.get(key)) is type(value)}


@functools.cache
def base() -> Values:
    """Return the composed config of a run of a few steps."""
    line = ["batch_size=12", "epochs=4", "executor=in_process", "trainer=cpu", "trainer.check_val_every_n_epoch=4"]
    return compose(line).values


@functools.lru_cache(128)
def loaded(name: str, uneven: bool = False, scaled: bool = False) -> tuple[Values, Dataset]:
    """Return a config on a little built-in data, and the data.

    With `uneven`, the classes are imbalanced, so that a network that begins at 0 can learn too; else the inputs may be
    scaled to 0 .. 1. NAME:real and NAME:labels have the classes of NAME as numbers.
    """
    name, _, target = name.partition(":")
    values = base() | {"data": node("data", name, n=100, length=11)}
    if uneven:
        few = {"fraction": node("corruption", "fraction", n=50 if "n" in values["data"] else 200)}
        values["corruption"] = few | {"imbalance": node("corruption", "imbalance")}
    if scaled:
        values["transform"] = {"min_max": node("transform", "min_max")}
    dataset = load(values).dataset
    return values, as_numbers(dataset, target) if target else dataset


def as_numbers(dataset: Dataset, target: Any) -> Dataset:
    """Return one number per class, 0 or 1, as real targets or as labels."""
    parts = {split: dataset.part(split) for split in SPLITS}
    converted = {
        split: Samples(part.x, torch.nn.functional.one_hot(part.y, len(dataset.classes)).float())
        for split, part in parts.items()
        if isinstance(part, Samples)
    }
    return replace(dataset, **converted, target=target, classes=dataset.classes if target == "labels" else ())


@functools.cache
def data() -> list[str]:
    """Return the smallest built-in data for each target, number of classes and number of dimensions."""
    sets: dict[Any, str] = {}

    def numbers(name: str) -> int:
        dataset = loaded(name)[1]
        return size(dataset.train) * math.prod(dataset.inputs)

    for name in sorted((name for name in named("data") if name not in FETCHED), key=numbers):
        dataset = loaded(name)[1]
        make = (dataset.target, len(dataset.classes) == 2, len(dataset.inputs), dataset.real_inputs)
        sets.setdefault(make, name)
    with_classes = [name for make, name in sets.items() if make[0] == "class"]
    return [*sets.values(), *(f"{name}:{target}" for target in ("real", "labels") for name in with_classes)]


def paired(name: str, **chosen: str) -> tuple[Values, Dataset]:
    """Return the resolved config of a model, a task and a loss on data. Raises HarnessError if they do not fit."""
    scaled = bool(MODELS.get(chosen.get("model", ""), {}).get("inputs_within"))
    values, dataset = loaded(name, scaled=scaled)
    nodes = {kind: node(kind, one, **SMALL if kind in ("model", "task") else {}) for kind, one in chosen.items()}
    return resolve(values | nodes, dataset, catalogue.current()), dataset


def computed(parts: RunComponents, dataset: Dataset) -> dict[str, float]:
    """Return the losses of a few samples, of an untrained model (an estimator is fitted)."""
    assert isinstance(dataset.train, Samples)
    drawn = parts.task.tuples(dataset.train, "train", torch.Generator())
    index = torch.arange(min(8, len(dataset.train))) if drawn is None else drawn[:2].flatten()
    batch = dataset.train.x[index], dataset.train.y[index]
    noise = Noise(keys(torch.tensor(0), 0))

    if isinstance(parts.model, EstimatorModule):
        parts.model.estimator.fit(dataset.train)
    with Redirect(noise):
        result = parts.task.losses(calling(parts.model), batch, noise)
    return {group: float(loss.detach()) for group, loss in result.items()}


def fits(name: str, **chosen: str) -> bool:
    """Return True if components fit data; if so they compute, and if not they are refused in one line."""
    try:
        values, dataset = paired(name, **chosen)
        parts = build(values, dataset, make_plan(typed_settings(values), dataset, values).total_steps)
    except HarnessError as error:
        refused = str(error)
    else:
        losses = computed(parts, dataset)
        assert all(math.isfinite(loss) for loss in losses.values()), (name, chosen)
        return True
    assert len(refused.splitlines()) == 1
    return False


def trained(values: Values, dataset: Dataset) -> tuple[RunState, RunComponents]:
    """Train a run without a folder."""
    plan = make_plan(typed_settings(values), dataset, values)
    parts = build(values, dataset, plan.total_steps)
    run = Run(parts, plan, dataset, make_member(values, parts))
    fit(make_trainer(values["trainer"], plan, ""), [run])
    assert run.state.diverged is None
    return run.state, parts


def curve(member: RunState, name: str = "train/loss") -> list[float]:
    """Return the values of a metric in the epochs that measured it."""
    return [row[name] for row in member.history if name in row]


@pytest.mark.parametrize("kind", IN_NETWORKS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_component_of_a_network_learns_or_is_refused_in_one_line(kind: str, network: str) -> None:
    name, sizes = NETWORKS[network]
    values, dataset = loaded(name, uneven=True)
    known = catalogue.current()
    curves = {}
    for one in named(kind):
        chosen = node(kind, one)
        line = values | {"model": node("model", network, **sizes), kind: {one: chosen} if KINDS[kind].many else chosen}
        try:
            line = resolve(line, dataset, known)
            build(line, dataset, total_steps=10)
        except HarnessError as error:
            refused = str(error)
        else:
            curves[one] = curve(trained(line, dataset)[0])
            continue
        assert len(refused.splitlines()) == 1
        assert one in refused
        assert known.get(kind, one)["traits"].get("input_ndim"), "a component that does not fit has declared it"
    assert curves
    assert {one: losses for one, losses in curves.items() if not losses[-1] < losses[0]} == {}


@pytest.mark.parametrize("model", MODELS)
def test_model_fits_data_or_is_refused_in_one_line(model: str) -> None:
    tried = {task: [fits(name, model=model, task=task) for name in data()] for task in TASKS}
    assert {task for task, outcomes in tried.items() if any(outcomes)} == set(MODELS[model]["tasks"])


@pytest.mark.parametrize("loss", named("loss"))
def test_loss_fits_a_task_or_is_refused_in_one_line(loss: str) -> None:
    tasks = catalogue.current().get("loss", loss)["traits"].get("tasks", list(TASKS))
    naming = [model for model, traits in MODELS.items() if loss in traits.get("losses", ())]
    model = {"model": naming[0]} if naming else {}
    met = {task for task in TASKS if any(fits(name, task=task, loss=loss, **model) for name in data())}
    assert met == set(tasks)


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_every_model_learns_each_of_its_tasks(model: str, task: str) -> None:
    name = next(name for name in data() if fits(name, model=model, task=task))
    values, dataset = paired(name, model=model, task=task)
    member, parts = trained(values | {"epochs": 12, "optimizer": node("optimizer", "adam", lr=0.01)}, dataset)
    assert all(math.isfinite(value) for value in member.metrics.values())
    if isinstance(parts.model, EstimatorModule) or len(parts.task.groups(parts.model)) > 1:
        return  # fitted in one step; or of players, whose gains are each other's losses
    if own := [
        name for name in MODELS[model].get("metrics", ()) if f"val/{name}" in member.metrics
    ]:  # a model whose loss says little names its own metrics
        first, *_, last = curve(member, f"val/{own[0]}")
        assert (last > first) == member.higher_is_better(f"val/{own[0]}")
    else:
        first, *_, last = curve(member)
        assert last < first


NETWORK_MODELS = [model for model, traits in MODELS.items() if not traits.get("estimator")]
CHANGES = (
    ("activation", "tanh"), ("normalization", "batch_norm"), ("normalization", "weight_norm"), ("initializer", "zeros"),
    ("regularizer", "dropout"), ("regularizer", "stochastic_depth"),
)  # fmt: skip


@pytest.mark.parametrize("model", NETWORK_MODELS)
def test_component_counts_as_used_if_and_only_if_it_changes_the_network(model: str) -> None:
    task = MODELS[model]["tasks"][0]
    name = next(name for name in data() if fits(name, model=model, task=task))
    values, dataset = paired(name, model=model, task=task)

    def built(**changed: Any) -> tuple[RunComponents, list[torch.Tensor]]:
        parts = build(values | changed, dataset, total_steps=10)
        return parts, [weight.detach() for weight in parts.model.parameters()]

    plain, start = built(initializer=node("initializer", "he_normal"))
    for kind, one in CHANGES:
        chosen = node(kind, one)
        parts, weights = built(**{kind: {one: chosen} if KINDS[kind].many else chosen})
        changed = repr(parts.model) != repr(plain.model)
        if kind == "initializer":
            changed = not all(map(torch.equal, weights, start))
        assert ((kind, one) in parts.uses.taken) == changed, (kind, one)
