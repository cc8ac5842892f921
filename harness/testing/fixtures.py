"""Small data sets, tasks and models to test losses, metrics, models and tasks with.

The other components are chosen by their traits, never by their names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness._compat.torch import pytree
from harness.config import seeds
from harness.config.schema import default_node
from harness.config.settings import Split
from harness.datasets.dataset import SPLITS, Dataset, Samples, from_arrays, surface
from harness.modeling.calling import call_method, cast, dtype_of
from harness.modeling.estimator import EstimatorModule
from harness.modeling.task import Task
from harness.registry import catalogue
from harness.registry.instantiate import component
from harness.registry.kinds import KINDS
from harness.registry.registry import REGISTRY
from harness.system.errors import reraise_interrupt
from harness.testing.component_case import Case, Inapplicable, drawn, redirected, smooth_block

SHAPES = {1: (6,), 2: (5, 4), 3: (1, 8, 8), 4: (1, 4, 4, 4)}  # shapes of a sample, by the number of dimensions
PICTURES = ((3, 8, 8), (1, 28, 28), (3, 32, 32))  # further shapes, for a model that only takes one
COUNT = 100  # samples


def dataset(target: str, shape: tuple[int, ...] = SHAPES[1], classes: int = 3, count: int = COUNT) -> Dataset:
    """Return a data set with inputs in [0, 1], in steps of a tenth, and targets of a kind that depend on them."""
    if target == "surface":
        return surface(_bowl, (1.0, -0.5, 2.0), (0.0, 0.0, 0.0))
    draw = seeds.generator(0, "testing", "data", len(shape))
    x = torch.randint(0, 11, (count, *shape), generator=draw) / 10
    sums = x.flatten(1).sum(1)
    if target == "class":
        y = (sums * 97).long() % classes
        return from_arrays(x.numpy(), y.numpy(), Split(), draw, target="class", classes=range(classes))
    if target == "labels":
        bits = torch.stack([(x.flatten(1)[:, i] > 0.5).float() for i in range(3)], 1)
        return from_arrays(x.numpy(), bits.numpy(), Split(), draw, target="labels", classes=range(3))
    return from_arrays(x.numpy(), torch.stack([sums, sums.sin()], 1).numpy(), Split(), draw, target="real")


def _bowl(w: Tensor) -> Tensor:
    return (w * w).sum(-1) * 0.5 + w.prod(-1) * 0.1


def words() -> Dataset:
    """Return a data set of pairs of words, with analogies."""
    draw = seeds.generator(0, "testing", "words")
    pairs = torch.randint(0, 12, (COUNT, 2), generator=draw).numpy()
    dataset = from_arrays(pairs[:, :1], pairs[:, 1], Split(), draw, target="class", classes=range(12))
    parts = {split: dataset.part(split) for split in SPLITS}
    indices: dict[str, Any] = {s: Samples(p.x.long(), p.y) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(
        dataset,
        **indices,
        vocabulary=tuple("abcdefghijkl"),
        analogies=tuple((a, a + 1, a + 2, a + 3) for a in range(8)),
    )


@dataclass
class Fixtures:
    """A task with its loss, a model and a batch of data."""

    dataset: Dataset
    task: Task
    model: nn.Module
    loss_calls: list[tuple[Any, Any]] = field(default_factory=list)  # arguments of the calls of the loss
    by_sample: bool = True  # False if predictions are not of single samples (tuples, words)

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The first training samples, in the precision of the model."""
        assert isinstance(self.dataset.train, Samples)
        dtype = dtype_of(self.model)
        drawn = self.task.tuples(self.dataset.train, "train", seeds.generator(0, "testing", "tuples"))
        index = torch.arange(min(8, len(self.dataset.train))) if drawn is None else drawn[:2].flatten()
        x, y = self.dataset.train.x[index], self.dataset.train.y[index]
        return cast(x, dtype), cast(y, dtype)

    def call(self, *x: Any, method: str = "forward") -> Any:
        """Call the model as a task does."""
        return call_method(self.model, method, *x)

    def losses(self, step: int = 0) -> dict[str, Tensor]:
        """Return {group: loss} of the batch, with the noise of a step."""
        with redirected(step) as redirect:
            return self.task.losses(self.call, self.batch, redirect.noise)

    def measured(self) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Return the losses and (predictions, targets) of an evaluation."""
        self.model.eval()
        with torch.no_grad(), redirected() as redirect:
            return self.task.evaluate(self.call, self.batch, redirect.noise)

    def shake(self) -> None:
        """Perturb every parameter, so that none has a special value such as zero."""
        with torch.no_grad():
            for index, p in enumerate(self.model.parameters()):
                if p.is_floating_point():
                    p.add_(0.2 * drawn(tuple(p.shape), "shake", index, dtype=p.dtype))


def tasks_of(case: Case) -> tuple[str, ...]:
    """Return the tasks to test a component with: those that it declares, else every common one."""
    if case.kind == "task":
        return (case.name,)
    if declared := case.list_trait("tasks"):
        return tuple(str(task) for task in declared)[: 1 if case.brief else None]
    common = [
        e for e in _entries("task") if e["traits"].get("auto") and "surface" not in e["traits"].get("targets", ())
    ]
    return tuple(e["name"] for e in common)


def bench(case: Case, task: str, dtype: torch.dtype = torch.float32) -> Fixtures:
    """Return fixtures to test a model, a loss, a metric or a task with.

    Raises:
        Inapplicable: If no installed model fits the task.
    """
    traits = catalogue.current().get("task", task)["traits"]
    model = case.entry if case.kind == "model" else _model_for(case, task)
    data = _data(traits, _shape(case, model))
    loss_calls: list[tuple[Any, Any]] = []
    loss = _recorded(_loss(case, model, traits), loss_calls)
    if case.kind == "task":
        task_object = case.make(loss=loss, dataset=data)
    else:
        task_object = component("task", default_node(catalogue.current(), "task", task), loss=loss, dataset=data)
    offers = {
        "inputs": data.inputs,
        "outputs": task_object.outputs(data),
        "vocabulary": data.words,
        "block": smooth_block(),
    }
    network = _network(case, model, offers)
    if hasattr(network, "fit") and not isinstance(network, nn.Module):
        network.fit(data.train)
        network = EstimatorModule(network)
    by_sample = not (traits.get("tuples") or traits.get("words"))
    return Fixtures(data, task_object, task_object.prepare(network.to(dtype), data).to(dtype), loss_calls, by_sample)


def _network(case: Case, model: Any, offers: dict[str, Any]) -> Any:
    if case.kind == "model":
        return case.make(**offers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        node = default_node(catalogue.current(), "model", model["name"])
        return component("model", node, **offers, generator=seeds.generator(0, "model"))


def _shape(case: Case, model: Any) -> tuple[int, ...]:
    """Return the shape of a sample that a model takes."""
    declared = [SHAPES[d] for d in model["traits"].get("input_ndim") or () if d in SHAPES]
    if declared or case.kind != "model":
        return next(iter(declared), SHAPES[1])
    return accepted_shape(case)


def accepted_shape(case: Case, first: tuple[int, ...] = SHAPES[1]) -> tuple[int, ...]:
    """Return the first shape of samples for which a model works that declares none; `first` is tried first."""
    for shape in (first, *SHAPES.values(), *PICTURES):
        try:
            model = case.make(inputs=shape, outputs=3, vocabulary=12, block=smooth_block())
            if isinstance(model, nn.Module):
                with torch.no_grad(), redirected():
                    model.eval()(drawn((4, *shape), "x"))
        except Exception as error:  # any error of a layer that needs another shape
            reraise_interrupt(error)
            continue
        return shape
    return first


def _data(task: dict[str, Any], shape: tuple[int, ...]) -> Dataset:
    if task.get("words"):
        return words()
    if task.get("tuples"):  # several samples of several classes
        return dataset(_target(task), shape, task.get("classes", 6), 5 * COUNT)
    return dataset(_target(task), shape, task.get("classes", 3))


def _target(traits: dict[str, Any]) -> str:
    targets = traits.get("targets") or ("class",)
    return str(targets[0])


def _entries(kind: str) -> Iterable[dict[str, Any]]:
    return (entry for entry in catalogue.current() if entry["kind"] == kind)


def _model_for(case: Case, task: str) -> dict[str, Any]:
    """Return the model that a loss or metric is for, else the task's own, the default, or any for the task."""
    known = [e for e in _entries("model") if catalogue.current().serves(e["traits"].get("tasks"), task)]
    own = {"loss": "losses", "metric": "metrics"}.get(case.kind, "")
    usual = catalogue.current().get("task", task)["traits"].get("model") or KINDS["model"].auto

    def fitness(entry: dict[str, Any]) -> tuple[bool, ...]:
        traits = entry["traits"]
        return (
            case.name not in (traits.get(own) or ()),
            entry["name"] != usual,
            bool(traits.get("losses")) and case.kind == "loss",  # a model with its own losses fits no other loss
            bool(traits.get("estimator")),
            task not in (traits.get("tasks") or ()),
        )

    if not known:
        raise Inapplicable(f"no installed model is for the task {task}")
    return min(known, key=fitness)


def _loss(case: Case, model: Any, task: dict[str, Any]) -> functools.partial[Any]:
    if case.kind == "loss":
        return functools.partial(case.function, **case.settings)
    name = next(iter(model["traits"].get("losses") or ()), task["loss"])
    settings = {k: v for k, v in default_node(catalogue.current(), "loss", name).items() if not k.startswith("_")}
    return functools.partial(REGISTRY.get("loss", name), **settings)


def _recorded(loss: functools.partial[Any], calls: list[tuple[Any, Any]]) -> Callable[..., Any]:
    def recorded(prediction: Any, target: Any) -> Any:
        calls.append((prediction, target))
        return loss(prediction, target)

    # a task may read the loss's settings and traits
    recorded.keywords, recorded.func = loss.keywords, loss.func  # type: ignore[attr-defined]
    return recorded


def predictions(case: Case, dtype: torch.dtype = torch.float32) -> list[tuple[str, Any, Any]]:
    """Return (task, prediction, target) for each task of a loss, as detached inputs of the loss."""
    triples = []
    for task in tasks_of(case):
        fixtures = bench(case, task, dtype)
        fixtures.shake()
        with torch.no_grad():
            fixtures.losses()
        if not fixtures.loss_calls:  # the task of an estimator may only use its loss in evaluation
            fixtures.measured()
        if not fixtures.loss_calls:
            raise Inapplicable(f"the task {task} never calls its loss")
        prediction, target = pytree.tree_map_only(Tensor, lambda t: _leaf(t, dtype), fixtures.loss_calls[0])
        triples.append((task, prediction, target))
    return triples


def _leaf(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.clone()


def numbers(tree: Any) -> list[Tensor]:
    """Return the real tensors in a tree of tuples and dicts."""
    return [t for t in pytree.tree_leaves(tree) if isinstance(t, Tensor) and t.is_floating_point()]
