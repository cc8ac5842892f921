"""Build the objects of a run once before anything is written: what a component refuses is bad input."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.config import seeds
from harness.datasets.dataset import Dataset, Samples
from harness.datasets.sampling import first_samples, sampled_inputs
from harness.execution.single_sample import has_single, refuse_single
from harness.modeling.builder import RunComponents, build, check_closure
from harness.modeling.calling import calling
from harness.modeling.estimator import EstimatorModule
from harness.modeling.profile import Probe
from harness.modeling.regularizer import acts_on, does
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.unused import Choice, unused
from harness.registry.kinds import AT_END, KEY
from harness.results.run_id import content_digest
from harness.results.study import find_weights
from harness.system import session
from harness.system.errors import HarnessError, reraise_interrupt, suggest
from harness.training.plan import Plan

_PARTS = (
    "model", "optimizer", "scheduler", "regularizer", "augmentation", "metric", "diagnostic", "callback", "task",
    "loss",
)  # fmt: skip
_BLOCKS = ("activation", "normalization", "initializer")
_PROBED = ("model", "regularizer", "task", "loss", *_BLOCKS)  # kinds that the probe of a model depends on


@dataclass(frozen=True)
class Rehearsal:
    """The result of building a run's objects once."""

    unused: list[Choice]  # components that the model has no place for
    probe: Probe | None  # None where the objects could not be built, which is the failure of the run
    directions: dict[str, bool] | None = None  # True if higher is better, of the metrics that declare a direction


class Rehearsals(dict[str, Rehearsal]):
    """Rehearsals that passed, by the settings that they depend on."""


class Probes(dict[str, Probe]):
    """Probes of models, by the settings that they depend on: runs with other optimizers share one."""


def rehearse(values: dict[str, Any], dataset: Dataset, plan: Plan) -> Rehearsal:
    """Build the objects of a run once, and check them. Settings that passed are not built again, so a sweep over seeds
    rehearses once.

    Args:
        values: The resolved config.
        dataset: The data of the run.
        plan: The arithmetic of the run.

    Returns:
        The components that the model does not use, and the probe of the model. An exception that is no HarnessError is
        left to the run, whose failure it is.

    Raises:
        HarnessError: If a component refuses a setting, or a metric is watched and not measured.
    """
    weights = None if values["init_from"] is None else content_digest(find_weights(values["init_from"]))
    shape = [list(dataset.inputs), dataset.width, dataset.target, dataset.words, bool(dataset.analogies)]
    chosen = [values[kind] for kind in (*_PARTS, *_BLOCKS)]
    key = json.dumps([chosen, shape, plan.total_steps, plan.epochs, has_single(plan), weights], default=str)
    passed, probes = session.state(Rehearsals), session.state(Probes)
    if key in passed:
        return passed[key]
    probed = json.dumps([[values[kind] for kind in _PROBED], shape, plan.total_steps, weights], default=str)
    try:
        rehearsal = _build(values, dataset, plan, probes.get(probed))
    except HarnessError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        return Rehearsal([], None)
    passed[key] = rehearsal
    if rehearsal.probe is not None:
        probes[probed] = rehearsal.probe
    return rehearsal


def _build(values: dict[str, Any], dataset: Dataset, plan: Plan, probed: Probe | None) -> Rehearsal:
    parts = build(values, dataset, plan.total_steps, probed)
    for name, regularizer in zip(values["regularizer"], parts.regularizers, strict=True):
        keeps = regularizer.keep == "best"  # of epochs by validation
        measured = [name for name in parts.measured if name.startswith("val/" if keeps else ("val/", "train/"))]
        if (keeps or does(regularizer, "should_stop")) and regularizer.watch not in measured:
            near = suggest(regularizer.watch, measured)
            raise HarnessError(f"regularizer {name} watches {regularizer.watch!r}, which is not measured.{near}")
    _refuse_unknown_monitor(parts)
    higher = directions(parts)
    if plan.each > 1:
        _refuse_target_changes(values, parts, dataset)
    else:
        _refuse_unread_targets(values, parts, dataset)
    for metric in parts.at_end.values():
        if AT_END & metric.asks == {"history"}:  # so that a refusal does not wait for the end
            row = dict.fromkeys(parts.measured, 0.0)
            metric.measure(history=[row], directions=dict.fromkeys(row, False))
    named = dict(parts.model.named_parameters())
    for group, names in parts.task.groups(parts.model).items() if named else ():
        chosen = {name: named[name] for name in names}
        optimizer = parts.optimizer(
            params=list(chosen.values()),
            named_params=list(chosen.items()),
            total_steps=max(1, plan.total_steps),
            generator=seeds.generator(plan.seed, "optimizer", group),
        )
        check_closure(values["optimizer"][KEY], optimizer, parts.closure)
        parts.scheduler(optimizer=optimizer, total_steps=max(1, plan.total_steps))
    refuse_single(values, parts, dataset, plan)
    without_place = [] if isinstance(parts.model, EstimatorModule) else unused(values, parts.uses.taken)
    return Rehearsal(without_place, parts.probe, higher)


def _refuse_unknown_monitor(parts: RunComponents) -> None:
    """Refuse a callback that monitors what is not measured, unless another callback may log it."""
    for name, callback in parts.callbacks.items() if len(parts.callbacks) == 1 else ():
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in parts.measured:
            near = suggest(monitor, parts.measured)
            raise HarnessError(f"callback {name} monitors {monitor!r}, which is not measured.{near}")


def directions(parts: RunComponents) -> dict[str, bool]:
    """Return True for each metric whose higher values are better and False for the others that declare a direction."""
    declared = {name: make().higher_is_better for name, make in parts.metrics.items()}
    declared |= {name: metric.higher_is_better for name, metric in parts.at_end.items()}
    return {name: bool(higher) for name, higher in declared.items() if higher is not None}


def _refuse_target_changes(values: dict[str, Any], parts: RunComponents, dataset: Dataset) -> None:
    """Refuse what changes targets, for a task that draws samples by their targets: it would not see the change."""
    assert isinstance(dataset.train, Samples)
    x = sampled_inputs(dataset)
    y = dataset.train.y[: len(x)]
    noise = Noise(keys(torch.tensor(0), 0))
    task = values["task"][KEY]
    for name, augment in zip(values["augmentation"], parts.augmentations, strict=True):
        if not _same(augment(x, y, noise)[1], y):
            raise HarnessError(f"augmentation {name} changes targets, and task {task} draws samples by theirs")
    for name, regularizer in zip(values["regularizer"], parts.regularizers, strict=True):
        if does(regularizer, "target") and not _same(regularizer.target(y), y):
            raise HarnessError(f"regularizer {name} changes targets, and task {task} draws samples by theirs")


def _refuse_unread_targets(values: dict[str, Any], parts: RunComponents, dataset: Dataset) -> None:
    """Refuse regularizers that change targets, for a task whose losses do not depend on targets."""
    named = zip(values["regularizer"], parts.regularizers, strict=True)
    changing = {name: r for name, r in named if acts_on(r) == {"target"}}
    if not changing:
        return
    x, y = first_samples(dataset, 8)
    model, noise = copy.deepcopy(parts.model).eval(), Noise(keys(torch.tensor(0), 0))

    def losses(target: Tensor) -> list[Tensor]:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), Redirect(noise):
            return list(parts.task.losses(calling(model), (x, target), noise).values())

    for name, regularizer in changing.items():
        changed = regularizer.target(y)
        if not _same(changed, y) and all(map(_same, losses(y), losses(changed))):
            raise HarnessError(
                f"regularizer {name} changes targets, and task {values['task'][KEY]} does not look at them: "
                "leave it out"
            )


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a == b).all())
