"""Surfaces: functions whose lowest point an optimizer looks for, in place of data; and what it takes to do so."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn
from torchmetrics import Metric

import harness
from harness import Batch, Call, Dataset, Task
from harness.space import Integers, Log, Uniform

Point = Annotated[tuple[float, float], "where the descent begins"]


@harness.model(tasks=("optimise",))
def point(inputs: tuple[int, ...]) -> nn.Module:
    """A point that moves: the only model of a surface.

    w = x + δ with x the start and δ the parameters, [D], zero at first.
    """
    return Moving(inputs[0])


class Moving(nn.Module):
    """A start, moved by what is learned."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.moved = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """x: starts [N, D] -> points [N, D]."""
        return x + self.moved


@harness.loss(tasks=("optimise",))
def gap(prediction: Tensor, target: Tensor) -> Tensor:
    """Suboptimality gap: how far above the lowest value the surface is.

    L = f(w) - f(w*). prediction: values f(w) [N]; target: the lowest value [N].
    """
    return (prediction - target).mean()


class Optimise(Task):
    """The loss is the surface; inputs are starts and targets its lowest points."""

    def __init__(self, loss: Callable[..., Any], dataset: Dataset) -> None:
        super().__init__(loss)
        assert dataset.surface is not None
        self.surface = dataset.surface

    def infer(self, call: Call, x: Tensor) -> None:
        """Nothing: a surface has no samples."""

    def losses(self, call: Call, batch: Batch, noise: Any) -> dict[str, Tensor]:
        x, y = batch
        return {"model": self.loss(self.surface(call(x)), self.surface(y))}

    def evaluate(self, call: Call, batch: Batch, noise: Any) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        found, lowest = self.predict(call, batch)
        return {"model": self.loss(self.surface(found), self.surface(lowest))}, (found, lowest)


@harness.task(targets=("surface",), loss="gap", metrics=("distance",), model="point", auto=True)
def optimise(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Goes down a surface: no data, a function and a start. An epoch is one step."""
    return Optimise(loss, dataset)


class Distance(Metric):
    """Mean Euclidean distance."""

    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """prediction and target: [N, D]."""
        self.total = self.total + torch.linalg.vector_norm(prediction - target, dim=-1).sum()
        self.count = self.count + len(prediction)

    def compute(self) -> Tensor:
        """Over all samples so far."""
        return self.total / self.count


@harness.metric(tasks=("optimise",), cases=(([[3.0, 4.0]], [[0.0, 0.0]], 5.0),))
def distance() -> Metric:
    """Euclidean distance from the surface's lowest point, ‖w - w*‖."""
    return Distance()


class Quadratic:
    """Half a quadratic form."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, w: Tensor) -> Tensor:
        """w: [..., D] -> [...]."""
        return 0.5 * ((w @ self.matrix.to(w.device, w.dtype)) * w).sum(-1)


@harness.data(reference="Goh, Why momentum really works, Distill 2017, doi:10.23915/distill.00006")
def quadratic(
    *,
    condition: Annotated[float, Log(1, 1000), Ge(1), "κ, the largest curvature over the smallest"] = 10.0,
    rotation: Annotated[float, Uniform(0, 90), "of the axes in degrees"] = 0.0,
    start: Annotated[tuple[float, ...], MinLen(2), "where the descent begins; as many numbers as dimensions"] = (
        1.0,
        1.0,
    ),
) -> Dataset:
    """A bowl: a quadratic function with curvatures from 1 / κ to 1.

    f(w) = wᵀ R diag(λ) Rᵀ w / 2, λ in a geometric series from 1 / condition to 1, R a rotation in the plane of the
    first axis and the last. Gradient descent converges for lr < 2 / λ_max = 2; lowest at 0.
    """
    size = len(start)
    curvatures = torch.logspace(-math.log10(condition), 0, size, dtype=torch.float64)
    turn = torch.eye(size, dtype=torch.float64)
    angle = math.radians(rotation)
    turn[0, 0] = turn[-1, -1] = math.cos(angle)
    turn[0, -1], turn[-1, 0] = -math.sin(angle), math.sin(angle)
    return harness.surface(Quadratic(turn @ torch.diag(curvatures) @ turn.T), start, [0.0] * size)


def _saddle(w: Tensor) -> Tensor:
    x, y = w[..., 0], w[..., 1]
    return x**2 / 2 - y**2 / 2 + y**4 / 4


@harness.data(
    reference="Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional non-convex "
    "optimization, NeurIPS 2014, arXiv:1406.2572"
)
def saddle(*, start: Point = (1.0, 1e-4)) -> Dataset:
    """A saddle at the origin between two valleys: the gradient vanishes there, and one direction goes down.

    f(x, y) = x² / 2 - y² / 2 + y⁴ / 4; lowest at (0, ±1), where f = -1/4; distances are to (0, 1). The nearer to y = 0
    the start, the longer it takes to leave.
    """
    return harness.surface(_saddle, start, (0.0, 1.0))


def _double_well(w: Tensor) -> Tensor:
    x, y = w[..., 0], w[..., 1]
    return (x**2 - 1) ** 2 + 0.3 * x + y**2 / 2


@harness.data
def double_well(*, start: Point = (1.5, 1.0)) -> Dataset:
    """Two valleys, of which one is deeper: from the right, descent ends in the wrong one.

    f(x, y) = (x² - 1)² + 0.3 x + y² / 2; lowest at (-1.0350, 0), another minimum at (0.9597, 0).
    """
    roots = sorted(r.real for r in _cubic_roots(4.0, 0.0, -4.0, 0.3))
    return harness.surface(_double_well, start, (roots[0], 0.0))


def _cubic_roots(*coefficients: float) -> list[complex]:
    import numpy as np

    return [complex(root) for root in np.roots(coefficients)]


def _rosenbrock(w: Tensor) -> Tensor:
    head, tail = w[..., :-1], w[..., 1:]
    return ((1 - head) ** 2 + 100 * (tail - head**2) ** 2).sum(-1)


@harness.data(reference="Rosenbrock, An automatic method for finding the greatest or least value of a function, 1960")
def rosenbrock(
    *, start: Annotated[tuple[float, ...], MinLen(2), "as many numbers as dimensions"] = (-1.2, 1.0)
) -> Dataset:
    """A narrow curved valley: easy to find, hard to follow.

    f(w) = Σ_i (1 - w_i)² + 100 (w_{i+1} - w_i²)²; lowest at (1, ..., 1).
    """
    return harness.surface(_rosenbrock, start, [1.0] * len(start))


def _beale(w: Tensor) -> Tensor:
    x, y = w[..., 0], w[..., 1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


@harness.data(reference="Beale, On an iterative method for finding a local minimum, Princeton technical report 1958")
def beale(*, start: Point = (1.0, 1.0)) -> Dataset:
    """Flat plains with steep walls at the corners: gradients of very unlike size.

    f(x, y) = (1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²; lowest at (3, 0.5).
    """
    return harness.surface(_beale, start, (3.0, 0.5))


def _rastrigin(w: Tensor) -> Tensor:
    return (w**2 - 10 * torch.cos(2 * math.pi * w) + 10).sum(-1)


@harness.data(reference="Mühlenbein, Schomisch, Born, The parallel genetic algorithm as function optimizer, 1991")
def rastrigin(
    *,
    dimensions: Annotated[int, Integers(1, 100, log=True), Ge(1)] = 2,
    start: Annotated[float, "each coordinate of the start"] = 3.2,
) -> Dataset:
    """A bowl full of pits: a grid of local minima, of which one is the lowest.

    f(w) = Σ_i w_i² - 10 cos(2π w_i) + 10; lowest at 0.
    """
    return harness.surface(_rastrigin, [start] * dimensions, [0.0] * dimensions)
