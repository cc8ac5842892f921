"""Tuned studies that were never trained, to compare: judged records, and the files of their searches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from harness.analysis.comparison import model
from harness.analysis.stats.tuning_curves import tuning_curve
from harness.results.record import Record
from harness.results.tuning import FOLDER, Trial, Tuning, write
from harness.space import parse_space
from tests.helpers.studies import study

SPACE = {"optimizer.lr": "log(0.0001, 1.0)"}
N_VAL = 200


def bump(best: float, width: float, top: float = 0.95, floor: float = 0.1) -> Callable[[Mapping[str, Any]], float]:
    """Return a score that is best at a learning rate, and worse within so many decades around it."""
    return lambda s: floor + (top - floor) * math.exp(-((math.log10(s["optimizer.lr"] / best) / width) ** 2))


def search(
    levels: Mapping[str, Any],
    score: Callable[[Mapping[str, Any]], float],
    *,
    budget: int = 32,
    method: str = "random",
    seeds: int = 3,
    space: Mapping[str, str] = SPACE,
    objective: str = "val/accuracy",
    higher: bool = True,
    stream: str = "",
) -> Tuning:
    """Return a search of which no trial was trained.

    Args:
        levels: The swept values of the contestant.
        score: Returns the mean score of a setting; nan if its runs fail.
        budget: Number of trials.
        method: Method.
        seeds: Number of tuning seeds.
        space: The searched spaces.
        objective: The metric.
        higher: Its direction.
        stream: Further text that the draws depend on.
    """
    name = repr((dict(levels), stream))
    rng = Random(name)
    spaces = {key: parse_space(text) for key, text in space.items()}
    trials = []
    for place in range(budget):
        settings = {key: s.sample(rng) for key, s in spaces.items()}
        mean = score(settings)
        values = tuple(_measured(mean + rng.gauss(0, 0.003), objective) for _ in range(seeds))
        status = "completed" if math.isfinite(mean) else "diverged"
        runs = tuple(f"{place:06x}{seed:06x}" for seed in range(seeds))
        trials.append(Trial(settings, runs, (status,) * seeds, values, (math.nan,) * seeds, 100 * seeds))
    return Tuning(
        id=hashlib.sha256(name.encode()).hexdigest()[:12],
        levels=dict(levels),
        objective=objective,
        higher_is_better=higher,
        method=method,
        budget=budget,
        seeds=tuple(range(1_000_000, 1_000_000 + seeds)),
        space=dict(space),
        trials=tuple(trials),
    )


def _measured(x: float, objective: str) -> float:
    is_share = objective.endswith("accuracy") and math.isfinite(x)
    return min(max(round(x * N_VAL) / N_VAL, 0.0), 1.0) if is_share else x


def tuned_study(
    scores: Mapping[str, Callable[[Mapping[str, Any]], float]],
    folder: Path | None,
    data: Sequence[str] = ("digits",),
    **settings: Any,
) -> list[Record]:
    """Return the judged records of tuned optimizers, and write the files of their searches.

    Args:
        scores: The score of the settings of each optimizer.
        folder: Folder of the study; None to write no files.
        data: Data sets.
        settings: As in `search`.
    """
    records = []
    for optimizer, score in scores.items():
        for name in data:
            found = search({"optimizer": optimizer, "data": name}, score, **settings)
            if folder is not None:
                (folder / FOLDER).mkdir(parents=True, exist_ok=True)
                write(found, folder)
            winner = found.summary()
            rng = np.random.default_rng(7)
            mean = winner["score"] if math.isfinite(winner["score"]) else 0.5
            made = study(
                {"optimizer": [optimizer], "data": [name]},
                lambda *_, mean=mean, rng=rng: (
                    round(min(max(mean - 0.01 + rng.normal(0, 0.005), 0), 1) * N_VAL) / N_VAL
                ),
                seeds=5,
                metric=found.objective.partition("/")[2],
                higher=found.higher_is_better,
                config={"tune": {"budget": found.budget, "per_seed": False}},
            )
            records += [replace(record, tuning=winner) for record in made]
    return records


def tuning_of(comparison: model.Comparison, setting: str = "optimizer.lr", text: str = "log(0.001, 1)") -> model.Tuning:
    """Return how the settings of the arms of a comparison were found, with curves that were never measured.

    Args:
        comparison: The comparison.
        setting: The setting that was searched.
        text: A text that stands in every place for a text.
    """
    metric = model.Metric("val/accuracy", higher_is_better=True, scale="difference", share=True)
    contestants = []
    for place, (data, arm) in enumerate((table.data, arm.name) for table in comparison.tables for arm in table.arms):
        scores = np.random.default_rng(place).beta(4, 1 + place % 3, 20)
        curve = tuning_curve(scores, coverage=0.99, support=(0, 1))
        border = [setting] if place == 0 else []
        found = model.Tuned(
            arm=arm,
            data=str(data),
            metric=metric,
            method="random",
            budget=20,
            trials=20,
            failed=place % 2,
            steps=9_600,
            seeds=3,
            space={setting: text},
            winners=[model.Winner({setting: 0.003 + place}, float(scores.max()), border, [0.9, None])],
            curve=model.BudgetCurve(range(1, 21), *(x.tolist() for x in (curve.median, curve.low, curve.high))),
        )
        contestants.append(found)
    leaders = [f"digits: adam leads only from 3 trials on; at 2 trials {text} is ahead."]
    return model.Tuning(contestants, 0.95, leaders, [f"adam: {setting} lies at the border of {text}"])
