"""Give sweepers a value to optimise: a run's objective, or the worst value where the run has none."""

from __future__ import annotations

import math

from harness.registry.component import asks
from harness.registry.kinds import AT_END, KEY
from harness.registry.registry import REGISTRY
from harness.results.record import Record


def for_search(record: Record) -> float:
    """Return a run's objective; for a run that diverged or failed, the infinity that is the worst value.

    Sweepers (optuna, nevergrad, ax) end the search when they are given nan.
    """
    value = record.objective
    if math.isfinite(value):
        return value
    return -math.inf if higher_is_better(record) else math.inf


def higher_is_better(record: Record) -> bool:
    """Return the direction of a run's objective, also where the run has never measured it."""
    objective = str(record.config.get("objective"))
    recorded = record.best.get(objective, {}).get("higher_is_better")
    if recorded is not None:
        return bool(recorded)
    node = record.config["metric"].get(objective.rpartition("/")[2])
    if node is None:
        return False  # a loss
    from harness.registry.instantiate import component, trait  # imports torch

    if AT_END.intersection(asks(REGISTRY.get("metric", node[KEY]))):
        return bool(trait("metric", node, "higher_is_better", False))
    # the direction depends on neither the classes nor the words
    metric = component("metric", node, num_classes=2, analogies=(), task=record.config["task"][KEY])
    return bool(metric.higher_is_better)
