"""Train short runs without folders, alone or as one program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from harness.config.composition import compose
from harness.config.job import Job
from harness.config.settings import typed_settings
from harness.datasets.dataset import Dataset
from harness.datasets.loading import Loader
from harness.execution.preparation import make_plan
from harness.execution.resolve import resolve
from harness.modeling.builder import RunComponents, build
from harness.registry import catalogue
from harness.training.fit import Run, fit, make_trainer
from harness.training.plan import Plan
from harness.training.run_callback import RunCallback
from harness.training.run_state import RunState

DEFAULTS = ("trainer=cpu", "diagnostic=[]")
FLOAT64 = ["trainer=cpu", "trainer.precision=64-true"]
Change = Callable[[RunComponents], None]
LOADER = Loader()  # shared, since the tests use the same few data sets


Found = dict[tuple[str, int], Any]  # {(tag, step): value of a diagnostic}


class _KeepDiagnostics(RunCallback):
    def __init__(self, found: Found) -> None:
        self.found = found

    def on_diagnostics(self, values: Mapping[str, Any], step: int, epoch: int) -> None:
        self.found.update({(tag, step): value for tag, value in values.items()})


@functools.lru_cache(256)
def composed(overrides: tuple[str, ...]) -> Job:
    """Compose overrides, by default on the CPU and without diagnostics.

    The result is cached, since the same overrides are trained alone and in several stacks.
    """
    keys = {word.partition("=")[0] for word in overrides}
    return compose([*(word for word in DEFAULTS if word.partition("=")[0] not in keys), *overrides])


def cohort(
    lines: Sequence[Sequence[str]],
    data: Callable[[Dataset], Dataset] = lambda dataset: dataset,
    change: Change = lambda parts: None,
    fused: bool = True,
    planned: Callable[[Plan], Plan] = lambda plan: plan,
    seen: list[Found] | None = None,
) -> list[Run]:
    """Train several runs as one cohort on the data of the first.

    Args:
        lines: The overrides of each run.
        data: Changes the data set.
        change: Changes the objects of each run.
        fused: True to train them as a stack.
        planned: Changes the plan of each run.
        seen: List that gets the values of diagnostics of each run.
    """
    jobs = [composed(tuple(line)) for line in lines]
    return trained(
        [job.values for job in jobs], data(LOADER.load(jobs[0].values).dataset), change, fused, planned, seen
    )


def trained(
    configs: Sequence[dict[str, Any]],
    dataset: Dataset,
    change: Change = lambda parts: None,
    fused: bool = True,
    planned: Callable[[Plan], Plan] = lambda plan: plan,
    seen: list[Found] | None = None,
) -> list[Run]:
    """Train the runs of composed configs as one cohort on a data set; see `cohort` for the arguments."""
    runs: list[Run] = []
    for config in configs:
        values = resolve(config, dataset, catalogue.current())
        plan = planned(make_plan(typed_settings(values), dataset, values))
        parts = build(values, dataset, plan.total_steps)
        change(parts)
        better = {name: bool(make().higher_is_better) for name, make in parts.metrics.items()}
        runs.append(Run(parts, plan, dataset, RunState(parts.regularizers, better)))
        if seen is not None:
            seen.append({})
            runs[-1].state.callbacks.append(_KeepDiagnostics(seen[-1]))
    fit(make_trainer(runs[0].parts.values["trainer"], runs[0].plan, ""), runs, fused)
    return runs


def train(
    overrides: Sequence[str],
    data: Callable[[Dataset], Dataset] = lambda dataset: dataset,
    change: Change = lambda parts: None,
) -> tuple[RunState, dict[str, torch.Tensor], RunComponents]:
    """Train one run alone; return its state, its weights and its objects."""
    (run,) = cohort([overrides], data, change, fused=False)
    return run.state, run.state.weights or {}, run.parts


def same(a: Run, b: Run) -> bool:
    """Return True if two runs are bit-equal."""
    first, second = a.state.weights, b.state.weights
    if first is None or second is None:
        return first is second
    return (
        all(torch.equal(first[name], second[name]) for name in first)
        and a.state.history == b.state.history
        and a.state.metrics == b.state.metrics
    )
