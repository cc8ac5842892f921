"""Group the runs whose computation has the same shape: they can be trained as one stack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.config.settings import NOT_IDENTITY
from harness.datasets.dataset import SPLITS
from harness.execution.preparation import RunSpec
from harness.modeling.builder import needs_closure, weighted
from harness.registry.component import parameters
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY
from harness.registry.registry import REGISTRY

# Runs of one stack may differ in their weights, optimizers, loggers and executors.
FREE = ("seed", "init_from", "optimizer", "scheduler", "initializer", "logger", "executor")
SHARED_BYTES = 1 << 26  # larger data sets are stacked only where they are the same


def groups(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """Return the runs in groups of one shape. In each group, runs with equal optimizers are neighbours."""
    by_shape: dict[str, list[RunSpec]] = {}
    for spec in specs:
        by_shape.setdefault(shape(spec), []).append(spec)
    return [sorted(group, key=_optimizer) for group in by_shape.values()]


def _optimizer(spec: RunSpec) -> str:
    return json.dumps([spec.values["optimizer"], spec.values["scheduler"]], default=str)


def shape(spec: RunSpec) -> str:
    """Return a key that is equal for runs that can be one stack: of one computation, study and path."""
    values = spec.values
    names = (
        "output_root",
        "study",
        "path",
        "save",
        "resume",
        "checkpoint_every",
        "diagnostic_budget",
        "evaluate_train",
    )
    launch = [values[name] for name in names]
    return json.dumps([computation(spec), values["epochs"], launch])


def computation(spec: RunSpec) -> str:
    """Return a key that is equal for runs whose training steps do the same operations, on whatever numbers."""
    values = spec.values
    fixed = {k: v for k, v in values.items() if k not in (*FREE, *NOT_IDENTITY, "split", "tune", "epochs")}
    fixed["regularizer"] = {name: _fixed("regularizer", node) for name, node in values["regularizer"].items()}
    steps = spec.plan.accumulate, spec.plan.warmup_steps  # a full-batch optimizer has set `accumulate`
    return json.dumps([fixed, steps, _data(spec), spec.device], sort_keys=True, default=str)


def _fixed(kind: str, node: dict[str, Any]) -> dict[str, Any]:
    """Return a node without its float settings: in a stack each run has its own value of them."""
    floats = {p.name for p in parameters(REGISTRY.get(kind, node[KEY])) if isinstance(p.default, float)}
    return {name: value for name, value in node.items() if name not in floats}


def _data(spec: RunSpec) -> list[Any]:
    facts, data = spec.facts, spec.record.data
    class_counts = facts.class_counts if weighted(spec.values) else ()  # the runs of a stack share their loss
    sizes = [data[split] for split in SPLITS]
    digest = "" if facts.bytes <= SHARED_BYTES else data["digest"]
    return [facts.inputs, facts.width, facts.target, facts.classes, class_counts, sizes, digest]


def followed(values: dict[str, Any]) -> str:
    """Return why callbacks of Lightning keep a run out of a stack; empty if it has none.

    >>> followed({"callback": {"timing": {}, "early_stopping": {}}})
    'callbacks timing, early_stopping follow each step of one run'
    """
    names = list(values["callback"])
    if not names:
        return ""
    several = len(names) > 1
    return f"callback{'s' * several} {', '.join(names)} follow{'s' * (not several)} each step of one run"


def unfusable(spec: RunSpec) -> str:
    """Return the reason why a run cannot be part of a stack, as its config tells it; empty if there is none."""
    values = spec.values
    if values["path"] == "alone":
        return "path=alone"
    if not values["train"]:
        return "train=false trains nothing"
    if reason := followed(values):
        return reason
    if not spec.facts.in_memory:
        return "the data is not in memory"
    if values["trainer"].get("devices") not in (None, "auto", 1, "1") or values["trainer"].get("num_nodes", 1) != 1:
        return "several devices train one run"
    if trait("model", values["model"], "estimator", False):
        return f"model {values['model'][KEY]} is fitted as a whole"
    if needs_closure(values["optimizer"]):
        return f"optimizer {values['optimizer'][KEY]} evaluates the loss several times a step"
    if watches := trait("scheduler", values["scheduler"], "watches", ""):
        return f"scheduler {values['scheduler'][KEY]} follows the {watches} of each run"
    if spec.device not in ("cpu", "cuda"):
        return f"stacks are not supported on {spec.device}"
    return ""
