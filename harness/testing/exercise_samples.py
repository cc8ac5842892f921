"""Use data, corruptions, transforms, augmentations and metrics in the way that a run does; see `exercise`."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from harness._compat.torch import pytree
from harness.config.seeds import generator
from harness.config.settings import Split
from harness.datasets.dataset import SPLITS, Dataset, Samples, digest, row_chunks, size
from harness.datasets.torch_adapter import adopt
from harness.datasets.validation import validate
from harness.registry.kinds import AT_END
from harness.system.errors import HarnessError
from harness.system.process_state import drawing
from harness.testing import fixtures as benches
from harness.testing.component_case import Case, Inapplicable, drawn, expect, noise, redirected
from harness.testing.fixtures import bench, tasks_of
from harness.training.metric_value import with_float64_states

MAX_SAMPLES = 20  # samples to read from each split


def augmentation(case: Case) -> Any:
    augment = case.make()
    results = []
    for ndim in case.list_trait("input_ndim") or (1, 3):
        x, y = drawn((5, *benches.SHAPES[ndim]), "x"), torch.arange(5) % 3
        changed, target = augment(x.clone(), y.clone(), noise())
        expect(changed.shape == x.shape, f"for inputs {list(x.shape)} it returns {list(changed.shape)}")
        expect(len(target) == 5, f"for 5 targets it returns {len(target)}")
        results += [changed, target]
    return results


def data(case: Case) -> Any:
    dataset = load_dataset(case)
    _check_dataset(dataset, case)
    return [digest(dataset), [some_inputs(dataset, name) for name in SPLITS]]


def load_dataset(case: Case) -> Dataset:
    """Return the data set of a data component, adapted as in a run."""
    draw = generator(Split().seed, "split")
    with drawing(Split().seed):
        return adopt(case.make(generator=draw), Split(), draw, case.folder)


def some_inputs(dataset: Dataset, split: str) -> list[Tensor]:
    """Return the first inputs of a split."""
    part = dataset.part(split)
    if isinstance(part, Samples):
        return list(part.x[:MAX_SAMPLES])
    return [torch.as_tensor(part[i][0]) for i in range(min(MAX_SAMPLES, size(part)))]


def _check_dataset(dataset: Any, case: Case) -> None:
    expect(isinstance(dataset, Dataset), f"it returns {type(dataset).__name__}, not a harness.Dataset")
    validate(dataset, case.name)


def corruption(case: Case) -> Any:
    digests = []
    for target in case.list_trait("targets") or ("class", "real"):
        corrupted = case.make(dataset=benches.dataset(str(target)))
        _check_dataset(corrupted, case)
        digests.append(digest(corrupted))
    return digests


def transform(case: Case) -> Any:
    train, other = transformable()
    transform = case.make(train=train, chunks=functools.partial(row_chunks, train))
    outputs = [transform(train), transform(other)]
    for x, y in zip((train, other), outputs, strict=True):
        expect(len(y) == len(x), f"for {len(x)} samples it returns {len(y)}")
        expect(torch.isfinite(y).all(), "its output is not finite")
    return outputs


def transformable() -> tuple[Tensor, Tensor]:
    """Return training inputs and other inputs."""
    train = torch.randint(0, 30, (96, 4), generator=generator(0, "testing", "train")) / 10
    return train, train[:40].flip(0).clone()


def metric(case: Case) -> Any:
    if AT_END.intersection(case.asks):
        return _final_metric(case)
    values = []
    for task in tasks_of(case):
        value, metric = measured(case, task)
        known = isinstance(metric.higher_is_better, bool)
        expect(known, "its higher_is_better is neither True nor False, so no sweep can tell which run is the best")
        expect(value.numel() == 1, f"for the task {task} it measures {value.numel()} numbers, not one")
        expect(torch.isfinite(value).all(), f"for the task {task} it measures {float(value)}")
        values.append(value)
    return values


def _final_metric(case: Case) -> list[float]:
    """Return the value of a metric that is measured once, after training."""
    row = {"train/loss": 1.0, "val/loss": 1.0, "val/accuracy": 0.5}
    fixtures = bench(case, tasks_of(case)[0])
    offers = {
        "history": [row, row],
        "directions": dict.fromkeys(row, False),
        "model": fixtures.model,
        "dataset": fixtures.dataset,
        "task": tasks_of(case)[0],
        "num_classes": len(fixtures.dataset.classes) or None,
    }
    try:
        with torch.no_grad(), redirected():
            value = case.make(**offers)
    except HarnessError as error:
        raise Inapplicable(f"it needs another kind of run than these checks have: {error}") from error
    expect(isinstance(value, int | float), f"it returns {type(value).__name__}, not a number")
    return [float(value)]


def measured(case: Case, task: str, parts: int = 1) -> tuple[Tensor, torchmetrics.Metric]:
    """Return a metric's value for a model's predictions, updated in so many parts, and the metric."""
    fixtures = bench(case, task)
    fixtures.shake()
    _, (prediction, target) = fixtures.measured()
    metric = make_metric(case, task, len(fixtures.dataset.classes) or None, fixtures.dataset.analogies)
    expect(isinstance(metric, torchmetrics.Metric), f"it returns {type(metric).__name__}, not a torchmetrics.Metric")
    count = len(pytree.tree_leaves(prediction)[0])
    if count < parts or (parts > 1 and not fixtures.by_sample):
        raise Inapplicable("its task has no predictions of single samples that could be divided")
    for first in range(0, count, count // parts):
        chunk = slice(first, first + count // parts)
        metric.update(*(_part(tree, chunk) for tree in (prediction, target)))
    return torch.as_tensor(with_float64_states(metric).compute()), metric


def make_metric(case: Case, task: str, num_classes: int | None, analogies: Any = ()) -> Any:
    """Build a metric.

    Raises:
        Inapplicable: If it is measured once, after training.
    """
    if AT_END.intersection(case.asks):
        raise Inapplicable("it is measured once, after training")
    return case.make(num_classes=num_classes, analogies=analogies, task=task)


def _part(tree: Any, chunk: slice) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[chunk], tree)
