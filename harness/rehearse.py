"""Builds a run's parts once and lets them go: what a component refuses is known before anything is written."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from harness import seeds
from harness.build import Parts, build, first_inputs
from harness.dataset import Dataset, Samples
from harness.errors import HarnessError, reraise_interrupt, suggest
from harness.kinds import AT_END
from harness.learner.plan import Plan
from harness.noise import Noise, keys
from harness.regularization import does
from harness.schema import KEY

_PARTS = ("model", "optimizer", "scheduler", "regularizer", "augmentation", "metric", "diagnostic", "task", "loss")
_BLOCKS = ("activation", "normalization", "initializer")
_passed: set[str] = set()


def rehearse(values: dict[str, Any], dataset: Dataset, plan: Plan) -> None:
    """Raises HarnessError for a setting that a component refuses, or for a metric that is watched and not measured.

    Settings that passed are not built again, so a sweep over seeds rehearses once. Any other exception is left to the
    run, whose failure it is.
    """
    shape = [list(dataset.inputs), dataset.width, dataset.target, dataset.words, bool(dataset.analogies)]
    key = json.dumps(
        [[values[kind] for kind in (*_PARTS, *_BLOCKS)], shape, plan.total_steps, plan.epochs], default=str
    )
    if key in _passed:
        return
    try:
        _build(values, dataset, plan)
    except HarnessError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        return
    _passed.add(key)


def _build(values: dict[str, Any], dataset: Dataset, plan: Plan) -> None:
    parts = build(values, dataset, plan.total_steps)
    measured = [name for name in parts.measured if name.startswith("val/")]
    for name, regularizer in zip(values["regularizer"], parts.regularizers, strict=True):
        watches = does(regularizer, "should_stop") or regularizer.keep == "best"
        if watches and regularizer.watch not in measured:
            near = suggest(regularizer.watch, measured)
            raise HarnessError(f"regularizer {name} watches {regularizer.watch!r}, which is not measured.{near}")
    for make in parts.metrics.values():
        make()
    if plan.each > 1:
        _refuse_mixing(values, parts, dataset)
    for metric in parts.at_end.values():
        if AT_END & metric.asks == {"history"}:  # what it refuses need not wait for the end
            row = dict.fromkeys(parts.measured, 0.0)
            metric.measure(history=[row], directions=dict.fromkeys(row, False))
    named = dict(parts.model.named_parameters())
    for group, names in parts.task.groups(parts.model).items() if named else ():
        chosen = {name: named[name] for name in names}
        optimizer = parts.optimizer(
            params=list(chosen.values()),
            named_params=list(chosen.items()),
            total_steps=plan.total_steps,
            generator=seeds.generator(plan.seed, "optimizer", group),
        )
        parts.scheduler(optimizer=optimizer, total_steps=plan.total_steps)


def _refuse_mixing(values: dict[str, Any], parts: Parts, dataset: Dataset) -> None:
    """Samples that are drawn by their targets are compared by their places: targets changed later would not be seen."""
    assert isinstance(dataset.train, Samples)
    x = first_inputs(dataset)
    y = dataset.train.y[: len(x)]
    noise = Noise(keys(torch.tensor(0), 0))
    task = values["task"][KEY]
    for name, augment in zip(values["augmentation"], parts.augmentations, strict=True):
        if not _same(augment(x, y, noise)[1], y):
            raise HarnessError(f"augmentation {name} changes targets, and task {task} draws samples by theirs")
    for name, regularizer in zip(values["regularizer"], parts.regularizers, strict=True):
        if does(regularizer, "target") and not _same(regularizer.target(y), y):
            raise HarnessError(f"regularizer {name} changes targets, and task {task} draws samples by theirs")


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a == b).all())
