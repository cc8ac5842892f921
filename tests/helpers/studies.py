"""Records of studies that were never trained, to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from harness.results.record import Record

N_TEST = 400


def record(
    choices: Mapping[str, Any],
    value: float | None,
    *,
    status: str = "completed",
    metric: str = "accuracy",
    higher: bool = True,
    swept: Sequence[str] = (),
    command: str = "",
    config: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    path: str = "fused",
) -> Record:
    """Return the record of a run.

    Args:
        choices: Overrides by key: "optimizer", "optimizer.lr", "seed", "split.seed", "data", "regularizer".
        value: Value of the metric on validation and test, or None.
        status: Status of the run.
        metric: Name of the metric without its split.
        higher: Its direction.
        swept: Keys that the sweep varied.
        command: The command that launched the run.
        config: Further settings.
        error: Why the run did not complete.
        path: How it was trained.
    """
    tree: dict[str, Any] = {
        "seed": 0,
        "split": {"seed": 0},
        "epochs": 5,
        "objective": f"val/{metric}",
        **(config or {}),
    }
    chosen: dict[str, Any] = {"data": "digits", "optimizer": "adam", "activation": "relu", "regularizer": []}
    for key, x in choices.items():
        if key in chosen:
            chosen[key] = x
    for kind, name in chosen.items():
        tree[kind] = {n: {"_component_": n} for n in name} if isinstance(name, list) else {"_component_": name}
    for key, x in choices.items():
        if key not in chosen:
            *outer, last = key.split(".")
            node = tree
            for part in outer:
                node = node.setdefault(part, {})
            node[last] = x
    metrics = {} if value is None else {f"val/{metric}": value, f"test/{metric}": value}
    name = ",".join(f"{key}={x}" for key, x in choices.items())
    return Record(
        id=f"{abs(hash(name)) % 16**12:012x}",
        name=name,
        study="made",
        status=status,
        error=dict(error) if error else None,
        config=tree,
        choices=chosen,
        metrics=metrics,
        best={f"val/{metric}": {"value": value or 0.0, "epoch": 0, "higher_is_better": higher}},
        model={"parameters": 100, "trainable": 100},
        data={"name": chosen["data"], "digest": "d", "train": 1000, "val": 200, "test": N_TEST, "overlap": 0},
        time={
            "started": "2026-01-01T00:00:00Z",
            "fit_s": 1.0,
            "share_s": 0.5,
            "total_s": 1.5,
            "epochs": 5,
            "steps": 50,
        },
        cohort={"size": 1, "path": path, "executor": "in_process", "why": ""},
        swept=list(swept),
        swept_values={key: choices[key] for key in swept},
        command=command,
    )


def study(
    levels: Mapping[str, Sequence[Any]],
    value: Callable[..., float | None],
    seeds: int | Sequence[int] = 10,
    split: bool = True,
    **settings: Any,
) -> list[Record]:
    """Return the records of a sweep over all levels and seeds.

    Args:
        levels: Levels by key.
        value: Returns the value of a run from its levels in order, and its seed; None for a run that failed.
        seeds: Number of seeds, or the seeds.
        split: Whether each seed has a split of its own.
        settings: As in `record`.
    """
    numbers = range(seeds) if isinstance(seeds, int) else seeds
    records = []
    for *chosen, seed in product(*levels.values(), numbers):
        choices = dict(zip(levels, chosen, strict=True)) | {"seed": seed} | ({"split.seed": seed} if split else {})
        x = value(*chosen, seed)
        failure: dict[str, Any] = {"status": "failed", "error": {"type": "ValueError", "message": "it broke"}}
        records.append(record(choices, x, swept=list(choices), **(settings if x is not None else settings | failure)))
    return records


def noise(*place: object, sd: float = 1.0) -> float:
    """Return a normal random number that is a function of its place.

    >>> noise("a", 1) == noise("a", 1) and noise("a", 1) != noise("a", 2)
    True
    """
    seed = [ord(c) for c in repr(place)]
    return float(np.random.default_rng(seed).normal(0, sd))
