"""What makes, changes or measures samples, used as the harness does; see `behave`."""

from __future__ import annotations

from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torch.utils import _pytree as pytree

from harness.dataset import SPLITS, Dataset, Samples, digest, size, validate
from harness.seeds import generator
from harness.settings import Split
from harness.testing import bench as benches
from harness.testing.bench import bench, tasks_of
from harness.testing.case import Case, Inapplicable, drawn, expect, noise

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
    made = case.make(generator=generator(Split().seed, "split"))
    _check_dataset(made, case)
    return [digest(made), [rows(made, name) for name in SPLITS]]


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
    made = case.make(train=train)
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
    found = []
    for task in tasks_of(case):
        value, made = measured(case, task)
        known = isinstance(made.higher_is_better, bool)
        expect(known, "its higher_is_better is neither True nor False, so no sweep can tell which run is the best")
        expect(value.numel() == 1, f"for the task {task} it measures {value.numel()} numbers, not one")
        expect(torch.isfinite(value).all(), f"for the task {task} it measures {float(value)}")
        found.append(value)
    return found


def measured(case: Case, task: str, parts: int = 1) -> tuple[Tensor, torchmetrics.Metric]:
    """A metric's value of a model's predictions, which it is given in so many parts."""
    place = bench(case, task)
    place.shake()
    _, (prediction, target) = place.measured()
    made = case.make(num_classes=len(place.dataset.classes) or None)
    expect(isinstance(made, torchmetrics.Metric), f"it returns {type(made).__name__}, not a torchmetrics.Metric")
    count = len(place.batch[0])
    if count < parts:
        raise Inapplicable("its task has one sample: there are no parts")
    for first in range(0, count, count // parts):
        chunk = slice(first, first + count // parts)
        made.update(*(_part(tree, chunk) for tree in (prediction, target)))
    return torch.as_tensor(made.compute()), made


def _part(tree: Any, chunk: slice) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[chunk], tree)
