"""Metrics of a whole run, from its history or from samples of its model."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.utils.data import DataLoader

import harness
from harness import Dataset, HarnessError, Samples, suggest
from harness.space import Integers, Log

SMALLEST = 1e-12  # standard deviation of modes that are points

History = list[dict[str, float]]
Drawn = Annotated[int, Integers(100, 10_000, log=True), Gt(0), "number of samples drawn from the model"]
Deviations = Annotated[float, Gt(0), "radius r of a mode, in standard deviations"]


@harness.metric(
    higher_is_better=False,
    reference="time to a target result: Dahl et al., Benchmarking neural network training algorithms, 2023, "
    "arXiv:2306.07179, section 4.1",
)
def epochs_to_target(
    history: History,
    directions: dict[str, bool],
    *,
    target: Annotated[float, "value to reach"],
    watch: Annotated[str, "metric that must reach it, for example val/accuracy"] = "val/loss",
) -> float:
    """Epochs of training until a metric first reaches a target; ∞ if it never does.

    With v_e the value after e epochs:

        min {e >= 1 : v_e >= target}, or v_e <= target where lower is better

    A metric that is measured every few epochs is compared at those epochs alone.

    >>> epochs_to_target([{"val/loss": 0.9}, {"val/loss": 0.4}], {"val/loss": False}, target=0.5)
    2
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
    """Return the centres [K, D] of the classes in training, and the standard deviation [D] about them, in float64."""
    part, functions = dataset.train, () if dataset.in_memory else dataset.transforms
    count = total = squares = torch.zeros((), dtype=torch.float64)
    for x, y in [(part.x, part.y)] if isinstance(part, Samples) else DataLoader(part, 512):
        for function in functions:
            x = function(x)
        rows = x.flatten(1).double()
        one_hot = nn.functional.one_hot(y, len(dataset.classes)).double()
        count, total, squares = count + one_hot.sum(0), total + one_hot.T @ rows, squares + rows.square().sum(0)
    present = count > 0
    centres = total[present] / count[present, None]
    variance = (squares - (count[present, None] * centres.square()).sum(0)) / count.sum()
    return centres, variance.clamp_min(0).sqrt()


def nearest(x: Tensor, centres: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index of the nearest centre [N], and its distance in standard deviations [N], for samples [N, D]."""
    scale = deviation.clamp_min(SMALLEST)
    exactly = "donot_use_mm_for_euclid_dist"  # x² - 2xc + c² would round small distances away
    closest = torch.cdist(x / scale, centres / scale, compute_mode=exactly).min(1)
    return closest.indices, closest.values


def _sample_modes(model: nn.Module, dataset: Dataset, samples: int) -> tuple[Tensor, Tensor, int]:
    """Draw samples from a model; return the nearest mode and the distance of each, and the number of modes."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    drawn: Tensor = model.sample(torch.zeros(samples, *dataset.inputs, dtype=dtype))  # type: ignore[operator]
    centres, deviation = modes(dataset)
    mode, distance = nearest(drawn.flatten(1).double(), centres, deviation)
    return mode, distance, len(centres)


def _mean_distance(x: Tensor, known: Tensor) -> float:
    """Return the mean distance of samples [N, ...] to the nearest of [M, ...]."""
    return float(torch.cdist(x.flatten(1).double(), known.flatten(1).double()).amin(1).mean())


@harness.metric(
    tasks=("reconstruction", "generation"),
    higher_is_better=False,
    reference="the space between codes: Berthelot, Raffel, Roy, Goodfellow, Understanding and improving interpolation "
    "in autoencoders via an adversarial regularizer, ICLR 2019, arXiv:1807.07543",
)
def decoded_distance(
    model: nn.Module,
    dataset: Dataset,
    *,
    radius: Annotated[float, Log(0.05, 3), Ge(0), "distance from a code, in standard deviations of the codes"] = 0.5,
) -> float:
    """Distance to the data of what a model decodes near the codes of test samples; 1 where it is as near as they are.

    With the codes z of the test samples, their standard deviation s in each dimension, ε ~ N(0, 1), the decoder g, and
    d(x) the distance of x to the nearest training sample:

        mean_n d(g(z_n + radius · s ε_n)) / mean_n d(x_n)

    For models with `encode(x)` and `decode(z)`.
    """
    train, test = dataset.train, dataset.test
    if not isinstance(train, Samples) or not isinstance(test, Samples):
        raise HarnessError("metric decoded_distance requires data in memory: set data.in_memory=true")
    codes: Tensor = model.encode(test.x)  # type: ignore[operator]
    near = codes + radius * codes.std(0, correction=0) * torch.randn_like(codes)
    decoded: Tensor = model.decode(near)  # type: ignore[operator]
    return _mean_distance(decoded, train.x) / max(_mean_distance(test.x, train.x), SMALLEST)


@harness.metric(
    tasks=("generation",),
    targets=("class",),
    input_ndim=(1,),
    higher_is_better=True,
    reference="Srivastava et al., VEEGAN, NeurIPS 2017, arXiv:1705.07761, section 4.1; counting modes: Metz et al., "
    "Unrolled generative adversarial networks, ICLR 2017, arXiv:1611.02163",
)
def mode_coverage(model: nn.Module, dataset: Dataset, *, samples: Drawn = 2500, deviations: Deviations = 3.0) -> float:
    """Share of the modes of a mixture that a model samples.

    A mode is covered if it is the nearest one to a sample within r = `deviations` standard deviations of it:

        |{k : k = argmin_j d(x_n, j) and d(x_n, k) <= r for a sample n}| / K,  d(x, k) = |(x - c_k) / σ|

    The modes are the classes of the data: c_k is their mean and σ the standard deviation of each coordinate about them,
    in training. Coverage says nothing on how often each mode is sampled.
    """
    mode, distance, count = _sample_modes(model, dataset, samples)
    return len(mode[distance <= deviations].unique()) / count


@harness.metric(
    tasks=("generation",),
    targets=("class",),
    input_ndim=(1,),
    higher_is_better=True,
    reference="Srivastava et al., VEEGAN, NeurIPS 2017, arXiv:1705.07761, section 4.1",
)
def mode_quality(model: nn.Module, dataset: Dataset, *, samples: Drawn = 2500, deviations: Deviations = 3.0) -> float:
    """Share of a model's samples that lie within r = `deviations` standard deviations of a mode of the mixture.

    With the modes and d of `mode_coverage`:

        mean_n [min_k d(x_n, k) <= r]

    Samples of a mixture of round Gaussians in the plane reach 0.989 within 3.
    """
    _, distance, _ = _sample_modes(model, dataset, samples)
    return int((distance <= deviations).sum()) / len(distance)
