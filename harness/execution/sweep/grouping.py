"""Which runs can be one stack: those whose computation has the same shape."""

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

# What members may differ in: their weights, their optimizers, and who watches each of them.
FREE = ("seed", "optimizer", "scheduler", "initializer", "logger", "executor")
SHARED_BYTES = 1 << 26  # data sets larger than this are stacked only where they are the same


def groups(members: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """The members in groups of one shape, each in an order in which equal optimizers are neighbours."""
    found: dict[str, list[RunSpec]] = {}
    for member in members:
        found.setdefault(shape(member), []).append(member)
    return [sorted(group, key=_settings) for group in found.values()]


def _settings(member: RunSpec) -> str:
    return json.dumps([member.values["optimizer"], member.values["scheduler"]], default=str)


def shape(member: RunSpec) -> str:
    """What members of one stack have in common: where they are written and by which way they are trained, too."""
    values = member.values
    launch = [values["study"], values["path"], values["save"], values["resume"], values["checkpoint_every"]]
    launch.append(values["diagnostic_budget"])
    return json.dumps([computation(member), values["epochs"], launch])


def computation(member: RunSpec) -> str:
    """What the steps of a run have in common with those of others, whatever their numbers."""
    values = member.values
    held = {k: v for k, v in values.items() if k not in (*FREE, *NOT_IDENTITY, "split", "epochs")}
    held["regularizer"] = {name: _fixed("regularizer", node) for name, node in values["regularizer"].items()}
    steps = member.plan.accumulate, member.plan.warmup_steps  # an optimizer may want the whole data in a step
    return json.dumps([held, steps, _data(member), member.device], sort_keys=True, default=str)


def _fixed(kind: str, node: dict[str, Any]) -> dict[str, Any]:
    """A node without its float settings: those become one value a member."""
    floats = {p.name for p in parameters(REGISTRY.get(kind, node[KEY])) if isinstance(p.default, float)}
    return {name: value for name, value in node.items() if name not in floats}


def _data(member: RunSpec) -> list[Any]:
    facts, data = member.facts, member.record.data
    described: list[Any] = [facts.inputs, facts.width, facts.target, facts.classes]
    described.append(facts.class_counts if weighted(member.values) else ())  # the members of a stack share their loss
    small = facts.bytes <= SHARED_BYTES
    return [*described, [data[split] for split in SPLITS], "" if small else data["digest"]]


def unfusable(member: RunSpec) -> str:
    """Why a run cannot be part of a stack, as far as its config tells; empty if nothing stands against it."""
    values = member.values
    if values["path"] == "alone":
        return "path=alone"
    if not member.facts.in_memory:
        return "the data is not in memory"
    if values["trainer"].get("devices") not in (None, "auto", 1, "1") or values["trainer"].get("num_nodes", 1) != 1:
        return "several devices train one run"
    if trait("model", values["model"], "estimator", False):
        return f"model {values['model'][KEY]} is fitted as a whole"
    if needs_closure(values["optimizer"]):
        return f"optimizer {values['optimizer'][KEY]} evaluates the loss several times a step"
    if watches := trait("scheduler", values["scheduler"], "watches", ""):
        return f"scheduler {values['scheduler'][KEY]} follows the {watches} of each run"
    if member.device not in ("cpu", "cuda"):
        return f"stacks are not supported on {member.device}"
    return ""
