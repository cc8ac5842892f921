"""What makes, changes or measures samples, used as the harness does; see `behave`."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from harness._compat.torch import pytree
from harness.config.seeds import generator
from harness.config.settings import Split
from harness.datasets.dataset import SPLITS, Dataset, Samples, digest, row_chunks, size, validate
from harness.datasets.torch_adapter import adopt
from harness.registry.kinds import AT_END
from harness.system.errors import HarnessError
from harness.system.process_state import drawing
from harness.testing import fixtures as benches
from harness.testing.component_case import Case, Inapplicable, drawn, expect, noise, redirected
from harness.testing.fixtures import bench, tasks_of

FEW = 20  # samples that are read of data that is not in memory


def augmentation(case: Case) -> Any:
    made = case.make()
    found = []
    for ndim in case.told("input_ndim") or (1, 3):
        x, y = drawn((5, *benches.SHAPES[ndim]), "x"), torch.arange(5) % 3
        changed, target = made(x.clone(), y.clone(), noise())
        expect(changed.shape == x.shape, f"it makes {list(changed.shape)} of inputs {list(x.shape)}")
        expect(len(target) == 5, f"it makes {len(target)} targets of 5")
        found += [changed, target]
    return found


def data(case: Case) -> Any:
    made = made_data(case)
    _check_dataset(made, case)
    return [digest(made), [rows(made, name) for name in SPLITS]]


def made_data(case: Case) -> Dataset:
    """The data set of whatever a data component returns, as a run sees it."""
    draw = generator(Split().seed, "split")
    with drawing(Split().seed):
        return adopt(case.make(generator=draw), Split(), draw, case.folder)


def rows(dataset: Dataset, split: str) -> list[Tensor]:
    """The inputs of a split, some of them where it is not in memory."""
    part = dataset.part(split)
    if isinstance(part, Samples):
        return list(part.x[:FEW])
    return [torch.as_tensor(part[i][0]) for i in range(min(FEW, size(part)))]


def _check_dataset(made: Any, case: Case) -> None:
    expect(isinstance(made, Dataset), f"it returns {type(made).__name__}, not a harness.Dataset")
    validate(made, case.name)  # says itself what is wrong


def corruption(case: Case) -> Any:
    found = []
    for target in case.told("targets") or ("class", "real"):
        made = case.make(dataset=benches.dataset(str(target)))
        _check_dataset(made, case)
        found.append(digest(made))
    return found


def transform(case: Case) -> Any:
    train, other = transformable()
    made = case.make(train=train, chunks=functools.partial(row_chunks, train))
    found = [made(train), made(other)]
    for x, y in zip((train, other), found, strict=True):
        expect(len(y) == len(x), f"it makes {len(y)} samples of {len(x)}")
        expect(torch.isfinite(y).all(), "what it makes is not finite")
    return found


def transformable() -> tuple[Tensor, Tensor]:
    """Training inputs, and others that lie elsewhere."""
    train = torch.randint(0, 30, (96, 4), generator=generator(0, "testing", "train")) / 10
    return train, train[:40].flip(0).clone()


def metric(case: Case) -> Any:
    if AT_END.intersection(case.asks):
        return _at_end(case)
    found = []
    for task in tasks_of(case):
        value, made = measured(case, task)
        known = isinstance(made.higher_is_better, bool)
        expect(known, "its higher_is_better is neither True nor False, so no sweep can tell which run is the best")
        expect(value.numel() == 1, f"for the task {task} it measures {value.numel()} numbers, not one")
        expect(torch.isfinite(value).all(), f"for the task {task} it measures {float(value)}")
        found.append(value)
    return found


def _at_end(case: Case) -> list[float]:
    """A number of a whole run: of its history, and of its model and data, where these are such that it can."""
    row = {"train/loss": 1.0, "val/loss": 1.0, "val/accuracy": 0.5}
    place = bench(case, tasks_of(case)[0])
    offers = {
        "history": [row, row],
        "directions": dict.fromkeys(row, False),
        "model": place.model,
        "dataset": place.dataset,
        "task": tasks_of(case)[0],
        "num_classes": len(place.dataset.classes) or None,
    }
    try:
        with torch.no_grad(), redirected():
            found = case.make(**offers)
    except HarnessError as error:
        raise Inapplicable(f"it wants another run than these checks have: {error}") from error
    expect(isinstance(found, int | float), f"it returns {type(found).__name__}, not a number")
    return [float(found)]


def measured(case: Case, task: str, parts: int = 1) -> tuple[Tensor, torchmetrics.Metric]:
    """A metric's value of a model's predictions, which it is given in so many parts."""
    place = bench(case, task)
    place.shake()
    _, (prediction, target) = place.measured()
    made = make_metric(case, task, len(place.dataset.classes) or None, place.dataset.analogies)
    expect(isinstance(made, torchmetrics.Metric), f"it returns {type(made).__name__}, not a torchmetrics.Metric")
    count = len(pytree.tree_leaves(prediction)[0])
    if count < parts or (parts > 1 and not place.by_sample):
        raise Inapplicable("its task has no predictions of single samples: there are no parts")
    for first in range(0, count, count // parts):
        chunk = slice(first, first + count // parts)
        made.update(*(_part(tree, chunk) for tree in (prediction, target)))
    return torch.as_tensor(made.compute()), made


def make_metric(case: Case, task: str, num_classes: int | None, analogies: Any = ()) -> Any:
    """Raises Inapplicable for one that is measured when a run has ended."""
    if AT_END.intersection(case.asks):
        raise Inapplicable("it is measured once, when a run has ended")
    return case.make(num_classes=num_classes, analogies=analogies, task=task)


def _part(tree: Any, chunk: slice) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[chunk], tree)
