"""Test functions for optimizers in place of data, with the model, loss, task and metric that they need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Generator, Tensor, nn
from torchmetrics import Metric

import harness
from harness import Batch, Call, Dataset, Task
from harness.space import Integers, Log, Uniform

Point = Annotated[tuple[float, float], "starting point"]


@harness.model(tasks=("optimise",))
def point(inputs: tuple[int, ...]) -> nn.Module:
    """The coordinates of a point: the model of surfaces.

        w = x + δ

    x is the starting point and δ, `[D]`, are the parameters, zero at first.

    >>> point((2,))(torch.tensor([[1.0, -1.0]])).detach()
    tensor([[ 1., -1.]])
    """
    return Moving(torch.zeros(inputs[0]))


@harness.model(tasks=("optimise",))
def random_point(
    inputs: tuple[int, ...],
    generator: Generator,
    *,
    spread: Annotated[float, Uniform(0, 5), Ge(0), "standard deviation of the first displacement, σ"] = 1.0,
) -> nn.Module:
    """The coordinates of a point with another start for each seed.

        w = x + δ

    x is the starting point of the surface and δ, `[D]`, are the parameters, at first N(0, σ²) with σ = `spread`.

    >>> random_point((2,), Generator().manual_seed(0), spread=0.1)(torch.zeros(1, 2)).detach()
    tensor([[ 0.1541, -0.0293]])
    """
    return Moving(spread * torch.randn(inputs[0], generator=generator))


class Moving(nn.Module):
    """A starting point plus a learned displacement."""

    def __init__(self, moved: Tensor) -> None:
        super().__init__()
        self.moved = nn.Parameter(moved)

    def forward(self, x: Tensor) -> Tensor:
        """Map starting points [N, D] to points [N, D]."""
        return x + self.moved


@harness.loss(tasks=("optimise",))
def gap(prediction: Tensor, target: Tensor) -> Tensor:
    """Suboptimality gap: the value of the surface above its minimum.

        L = f(w) - f(w*)

    Args:
        prediction: values f(w), `[N]`.
        target: minimum f(w*), `[N]`.

    >>> gap(torch.tensor([3.0]), torch.tensor([-1.0]))
    tensor(4.)
    """
    return (prediction - target).mean()


class Optimise(Task):
    """Minimize the surface: inputs are starting points, targets the minimizers."""

    def __init__(self, loss: Callable[..., Any], dataset: Dataset) -> None:
        super().__init__(loss)
        assert dataset.surface is not None
        self.surface = dataset.surface

    def infer(self, call: Call, x: Tensor) -> None:
        """Infer nothing: a surface has no samples."""

    def losses(self, call: Call, batch: Batch, noise: Any) -> dict[str, Tensor]:
        x, y = batch
        return {"model": self.loss(self.surface(call(x)), self.surface(y))}

    def evaluate(self, call: Call, batch: Batch, noise: Any) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        points, minimum = self.predict(call, batch)
        return {"model": self.loss(self.surface(points), self.surface(minimum))}, (points, minimum)


@harness.task(targets=("surface",), loss="gap", metrics=("distance",), model="point", auto=True)
def optimise(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Minimize a surface, a function with a starting point, in place of data. An epoch is one step."""
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
        """Add predictions and targets, [N, D] each."""
        self.total = self.total + torch.linalg.vector_norm(prediction - target, dim=-1).sum()
        self.count = self.count + len(prediction)

    def compute(self) -> Tensor:
        """Return the mean over all samples."""
        return self.total / self.count


@harness.metric(tasks=("optimise",), cases=(([[3.0, 4.0]], [[0.0, 0.0]], 5.0),))
def distance() -> Metric:
    """Euclidean distance from the minimizer of the surface, ‖w - w*‖.

    >>> distance()(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(5.)
    """
    return Distance()


class Quadratic:
    """Half a quadratic form."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, w: Tensor) -> Tensor:
        """Map points [..., D] to values [...]."""
        return 0.5 * ((w @ self.matrix.to(w.device, w.dtype)) * w).sum(-1)


@harness.data(reads=(), reference="Goh, Why momentum really works, Distill 2017, doi:10.23915/distill.00006")
def quadratic(
    *,
    condition: Annotated[float, Log(1, 1000), Ge(1), "condition number κ: largest over smallest curvature"] = 10.0,
    rotation: Annotated[float, Uniform(0, 90), "rotation of the axes, in degrees"] = 0.0,
    start: Annotated[tuple[float, ...], MinLen(2), "starting point, whose length is the number of dimensions"] = (
        1.0,
        1.0,
    ),
) -> Dataset:
    """Quadratic bowl with curvatures from 1 / κ to 1.

        f(w) = wᵀ R diag(λ) Rᵀ w / 2

    λ is a geometric series from 1 / κ to 1, R a rotation in the plane of the first and the last axis. Minimum at 0.
    Gradient descent converges for lr < 2 / λ_max = 2.

    >>> quadratic(condition=10.0).surface(torch.tensor([[1.0, 1.0]]))  # (0.1 + 1) / 2
    tensor([0.5500])
    """
    size = len(start)
    curvatures = torch.logspace(-math.log10(condition), 0, size, dtype=torch.float64)
    r = torch.eye(size, dtype=torch.float64)
    angle = math.radians(rotation)
    r[0, 0] = r[-1, -1] = math.cos(angle)
    r[0, -1], r[-1, 0] = -math.sin(angle), math.sin(angle)
    return harness.surface(Quadratic(r @ torch.diag(curvatures) @ r.T), start, [0.0] * size)


def _saddle(w: Tensor) -> Tensor:
    x, y = w[..., 0], w[..., 1]
    return x**2 / 2 - y**2 / 2 + y**4 / 4


@harness.data(
    reads=(),
    reference="Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional non-convex "
    "optimization, NeurIPS 2014, arXiv:1406.2572",
)
def saddle(*, start: Point = (1.0, 1e-4)) -> Dataset:
    """Saddle at the origin between two valleys: the gradient vanishes there, and one direction leads down.

        f(x, y) = x² / 2 - y² / 2 + y⁴ / 4

    Minima at (0, ±1), where f = -1/4; distances are measured from (0, 1). The closer the start is to y = 0, the longer
    it takes to leave the saddle.

    >>> saddle().surface(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    tensor([ 0.0000, -0.2500])
    """
    return harness.surface(_saddle, start, (0.0, 1.0))


def _double_well(w: Tensor) -> Tensor:
    x, y = w[..., 0], w[..., 1]
    return (x**2 - 1) ** 2 + 0.3 * x + y**2 / 2


@harness.data(reads=())
def double_well(*, start: Point = (1.5, 1.0)) -> Dataset:
    """Two valleys of different depth: from the default start, descent ends in the shallower one.

        f(x, y) = (x² - 1)² + 0.3 x + y² / 2

    Minimum at (-1.0350, 0); a second, local minimum at (0.9597, 0).

    >>> double_well().surface(torch.tensor([[-1.0350, 0.0], [0.9597, 0.0]]))
    tensor([-0.3054,  0.2941])
    """
    roots = sorted(r.real for r in _cubic_roots(4.0, 0.0, -4.0, 0.3))
    return harness.surface(_double_well, start, (roots[0], 0.0))


def _cubic_roots(*coefficients: float) -> list[complex]:
    import numpy as np

    return [complex(root) for root in np.roots(coefficients)]


def _rosenbrock(w: Tensor) -> Tensor:
    head, tail = w[..., :-1], w[..., 1:]
    return ((1 - head) ** 2 + 100 * (tail - head**2) ** 2).sum(-1)


@harness.data(
    reads=(), reference="Rosenbrock, An automatic method for finding the greatest or least value of a function, 1960"
)
def rosenbrock(
    *,
    start: Annotated[tuple[float, ...], MinLen(2), "starting point, whose length is the number of dimensions"] = (
        -1.2,
        1.0,
    ),
) -> Dataset:
    """Rosenbrock's narrow curved valley: easy to find, hard to follow.

        f(w) = Σ_i (1 - w_i)² + 100 (w_{i+1} - w_i²)²

    Minimum at (1, ..., 1).

    >>> rosenbrock().surface(torch.tensor([[-1.2, 1.0], [1.0, 1.0]]))
    tensor([24.2000,  0.0000])
    """
    return harness.surface(_rosenbrock, start, [1.0] * len(start))


def _beale(w: Tensor) -> Tensor:
    x, y = w[..., 0], w[..., 1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


@harness.data(
    reads=(), reference="Beale, On an iterative method for finding a local minimum, Princeton technical report 1958"
)
def beale(*, start: Point = (1.0, 1.0)) -> Dataset:
    """Beale's function: flat plains with steep walls, and gradients of very different size.

        f(x, y) = (1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²

    Minimum at (3, 0.5).

    >>> beale().surface(torch.tensor([[1.0, 1.0], [3.0, 0.5]]))
    tensor([14.2031,  0.0000])
    """
    return harness.surface(_beale, start, (3.0, 0.5))


def _rastrigin(w: Tensor) -> Tensor:
    return (w**2 - 10 * torch.cos(2 * math.pi * w) + 10).sum(-1)


@harness.data(
    reads=(), reference="Mühlenbein, Schomisch, Born, The parallel genetic algorithm as function optimizer, 1991"
)
def rastrigin(
    *,
    dimensions: Annotated[int, Integers(1, 100, log=True), Ge(1), "number of dimensions"] = 2,
    start: Annotated[float, "each coordinate of the starting point"] = 3.2,
) -> Dataset:
    """Rastrigin's function: a bowl with a grid of local minima.

        f(w) = Σ_i w_i² - 10 cos(2π w_i) + 10

    Minimum at 0.

    >>> rastrigin().surface(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    tensor([1., 0.])
    """
    return harness.surface(_rastrigin, [start] * dimensions, [0.0] * dimensions)


def _ackley(w: Tensor) -> Tensor:
    bowl = -20 * torch.exp(-0.2 * w.square().mean(-1).sqrt())
    return bowl - torch.exp(torch.cos(2 * math.pi * w).mean(-1)) + 20 + math.e


@harness.data(reads=(), reference="Ackley, A connectionist machine for genetic hillclimbing, 1987")
def ackley(
    *,
    start: Annotated[tuple[float, ...], MinLen(2), "starting point, whose length is the number of dimensions"] = (
        3.0,
        2.0,
    ),
) -> Dataset:
    """Ackley's function: a funnel with ripples, whose slope falls with the distance from the minimum.

        f(w) = -20 exp(-0.2 sqrt(mean_i w_i²)) - exp(mean_i cos(2π w_i)) + 20 + e

    Minimum at 0, where the funnel has a cusp. Local minima near all points with integer coordinates.

    >>> ackley().surface(torch.tensor([[1.0, 0.0]]))
    tensor([2.6375])
    """
    return harness.surface(_ackley, start, [0.0] * len(start))
