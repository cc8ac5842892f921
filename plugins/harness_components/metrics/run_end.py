"""Metrics of a whole run: what its history says, and what its model makes."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.utils.data import DataLoader

import harness
from harness import Dataset, HarnessError, Samples, suggest
from harness.space import Integers

SMALLEST = 1e-12  # deviation: of modes that are points

History = list[dict[str, float]]
Drawn = Annotated[int, Integers(100, 10_000, log=True), Gt(0), "samples that are drawn"]
Deviations = Annotated[float, Gt(0), "how many deviations about its centre a mode is wide"]


@harness.metric(
    reference="time to a target result: Dahl et al., Benchmarking neural network training algorithms, 2023, "
    "arXiv:2306.07179, section 4.1",
)
def epochs_to_target(
    history: History,
    directions: dict[str, bool],
    *,
    target: Annotated[float, "the value to reach"],
    watch: Annotated[str, "what must reach it, for example val/accuracy"] = "val/loss",
) -> float:
    """Epochs of training until a watched value first reaches a target: ∞ if it never does.

    min {e >= 1 : v_e >= target}, or v_e <= target where lower is better, with v_e the value after e epochs. What is
    measured in every few epochs is looked at there alone.
    """
    if watch not in directions:
        near = suggest(watch, list(directions))
        raise HarnessError(f"metric epochs_to_target watches {watch!r}, which is not measured.{near}")
    for epoch, row in enumerate(history, 1):
        value = row.get(watch, math.nan)
        if value >= target if directions[watch] else value <= target:
            return epoch
    return math.inf


def modes(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """The centres [K, D] of the classes of the training split, and the deviation [D] about them, in float64."""
    part, functions = dataset.train, () if dataset.in_memory else dataset.transforms
    count = total = squares = torch.zeros((), dtype=torch.float64)
    for x, y in [(part.x, part.y)] if isinstance(part, Samples) else DataLoader(part, 512):
        for function in functions:
            x = function(x)
        rows = x.flatten(1).double()
        own = nn.functional.one_hot(y, len(dataset.classes)).double()
        count, total, squares = count + own.sum(0), total + own.T @ rows, squares + rows.square().sum(0)
    seen = count > 0
    centres = total[seen] / count[seen, None]
    variance = (squares - (count[seen, None] * centres.square()).sum(0)) / count.sum()
    return centres, variance.clamp_min(0).sqrt()


def nearest(x: Tensor, centres: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Of samples [N, D]: the mode of each [N] whose centre is nearest, and how many deviations away it is [N]."""
    scale = deviation.clamp_min(SMALLEST)
    exactly = "donot_use_mm_for_euclid_dist"  # x² - 2xc + c² would round small distances away
    found = torch.cdist(x / scale, centres / scale, compute_mode=exactly).min(1)
    return found.indices, found.values


def _drawn(model: nn.Module, dataset: Dataset, samples: int) -> tuple[Tensor, Tensor, int]:
    """Of so many samples of a model: the nearest mode, its distance; and how many modes there are."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    made: Tensor = model.sample(torch.zeros(samples, *dataset.inputs, dtype=dtype))  # type: ignore[operator]
    centres, deviation = modes(dataset)
    mode, distance = nearest(made.flatten(1).double(), centres, deviation)
    return mode, distance, len(centres)


@harness.metric(
    tasks=("generation",),
    targets=("class",),
    input_ndim=(1,),
    higher_is_better=True,
    reference="Srivastava et al., VEEGAN, NeurIPS 2017, arXiv:1705.07761, section 4.1; counting modes: Metz et al., "
    "Unrolled generative adversarial networks, ICLR 2017, arXiv:1611.02163",
)
def mode_coverage(model: nn.Module, dataset: Dataset, *, samples: Drawn = 2500, deviations: Deviations = 3.0) -> float:
    """Share of the modes of a mixture that a model draws: with a sample of good quality that is nearest to them.

    |{k : k = argmin_j d(x_n, j) and d(x_n, k) <= deviations for a sample n}| / K, with d(x, k) = |(x - c_k) / σ|. A
    mode is a class of the data: c_k is its mean, and σ the deviation of each coordinate about them all, in training.
    """
    mode, distance, count = _drawn(model, dataset, samples)
    return len(mode[distance <= deviations].unique()) / count


@harness.metric(
    tasks=("generation",),
    targets=("class",),
    input_ndim=(1,),
    higher_is_better=True,
    reference="Srivastava et al., VEEGAN, NeurIPS 2017, arXiv:1705.07761, section 4.1",
)
def mode_quality(model: nn.Module, dataset: Dataset, *, samples: Drawn = 2500, deviations: Deviations = 3.0) -> float:
    """Share of a model's samples that are of good quality: within some deviations of a mode of the mixture.

    mean_n [min_k d(x_n, k) <= deviations], with the modes and d of `mode_coverage`; 0.989 for samples of a mixture of
    round Gaussians in the plane itself, within 3.
    """
    _, distance, _ = _drawn(model, dataset, samples)
    return float((distance <= deviations).double().mean())
