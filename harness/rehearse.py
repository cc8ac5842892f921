"""Builds a run's parts once and lets them go: what a component refuses is known before anything is written."""

from __future__ import annotations

import json
from typing import Any

from harness import seeds
from harness.build import build
from harness.dataset import Dataset
from harness.errors import HarnessError, suggest
from harness.kinds import AT_END
from harness.learner.plan import Plan
from harness.regularization import does

_PARTS = ("model", "optimizer", "scheduler", "regularizer", "augmentation", "metric", "task", "loss")
_BLOCKS = ("activation", "normalization", "initializer")
_passed: set[str] = set()


def rehearse(values: dict[str, Any], dataset: Dataset, plan: Plan) -> None:
    """Raises HarnessError for a setting that a component refuses, or for a metric that is watched and not measured.

    Settings that passed are not built again, so a sweep over seeds rehearses once. Any other exception is left to the
    run, whose failure it is.
    """
    shape = [list(dataset.inputs), dataset.width, dataset.target, plan.total_steps, plan.epochs]
    key = json.dumps([[values[kind] for kind in (*_PARTS, *_BLOCKS)], shape], default=str)
    if key in _passed:
        return
    try:
        _build(values, dataset, plan)
    except HarnessError:
        raise
    except (Exception, SystemExit):
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
