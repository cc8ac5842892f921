"""Tests of the error rate of comparisons of tuned contestants, simulated on recorded runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import harness
from harness.analysis.stats.paired import estimate
from harness.execution.tuning.drawing import random_settings
from harness.execution.tuning.search_space import Dimension
from harness.space import Log

SPACE = {
    "optimizer.lr": Dimension(Log(1e-4, 1e-1), "lr"),
    "optimizer.weight_decay": Dimension(Log(1e-6, 1e-1), "weight_decay"),
}
LINE = ["optimizer=adam", "data=wine", "model=mlp", "model.width=16", "epochs=5", "seed=range(13)", "logger=[]",
        "diagnostic=[]", "save=none", "study=pool"]  # fmt: skip
POOL, JUDGED, SEEDS, COMPARISONS = 100, 10, 3, 500


@pytest.mark.slow
def test_component_tuned_twice_is_called_different_at_the_nominal_rate_if_each_seed_is_tuned(workdir: Path) -> None:
    """One search for each contestant with draws of its own exceeds the rate: its luck is common to all judged seeds."""
    settings = [random_settings(SPACE, "pool", place) for place in range(POOL)]
    records = harness.sweep(LINE, variants=[[f"{key}={value}" for key, value in row.items()] for row in settings])
    seeds = len(records) // POOL
    keys = [(place // seeds, r.config["seed"]) for place, r in enumerate(records)]
    loss = dict(zip(keys, (r.metrics["val/loss"] for r in records), strict=True))
    accuracy = dict(zip(keys, (r.metrics["test/accuracy"] for r in records), strict=True))
    draw = random.Random(0)

    def winner(budget: int, tuning_seeds: Sequence[int]) -> int:
        drawn = [draw.randrange(POOL) for _ in range(budget)]
        return min(drawn, key=lambda place: sum(loss[place, seed] for seed in tuning_seeds))

    def once(budget: int) -> list[int]:
        return [winner(budget, range(JUDGED, JUDGED + SEEDS))] * JUDGED

    def per_seed(budget: int) -> list[int]:
        others = [[seed for seed in range(seeds) if seed != judged] for judged in range(JUDGED)]
        return [winner(budget, draw.sample(others[judged], SEEDS)) for judged in range(JUDGED)]

    def different(one: list[int], other: list[int]) -> bool:
        d = [accuracy[a, seed] - accuracy[b, seed] for seed, (a, b) in enumerate(zip(one, other, strict=True))]
        return estimate(d, resolution=1 / records[0].data["test"]).p < 0.05

    rates = {
        way.__name__: sum(different(way(4), way(4)) for _ in range(COMPARISONS)) / COMPARISONS
        for way in (once, per_seed)
    }
    assert rates["per_seed"] <= 0.05 + 3 * (0.05 * 0.95 / COMPARISONS) ** 0.5
    assert rates["once"] > 0.2
