"""Tests of surfaces: their minima, and descent on them against closed forms and scipy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch

import harness
from harness.datasets.dataset import Dataset, Samples
from tests.plugins.components.helpers import data

SURFACES = ["quadratic", "saddle", "double_well", "rosenbrock", "beale", "rastrigin", "ackley"]


def parts(dataset: Dataset) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return (function of numpy points, start, minimum)."""
    assert isinstance(dataset.train, Samples)
    assert dataset.surface is not None
    surface = dataset.surface
    return (
        lambda w: float(surface(torch.as_tensor(w, dtype=torch.float64))),
        dataset.train.x[0].double().numpy(),
        dataset.train.y[0].double().numpy(),
    )


@pytest.mark.parametrize("name", SURFACES)
def test_minimum_is_the_lowest_point(name: str) -> None:
    function, _, lowest = parts(data(name))
    result = scipy.optimize.minimize(function, lowest, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert result.x == pytest.approx(lowest, abs=1e-3)
    around = np.random.default_rng(0).uniform(-4, 4, (2000, len(lowest)))
    assert min(map(function, around)) >= function(lowest) - 1e-12


@pytest.mark.parametrize("name", SURFACES)
def test_surface_evaluates_many_points_at_once(name: str) -> None:
    dataset = data(name)
    function, start, lowest = parts(dataset)
    assert dataset.surface is not None
    points = torch.as_tensor(np.stack([start, lowest, start + lowest]))
    assert dataset.surface(points.view(3, 1, -1)).shape == (3, 1)
    assert dataset.surface(points).tolist() == pytest.approx([function(p.numpy()) for p in points])


@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_quadratic_has_its_curvatures(rotation: float) -> None:
    dataset = data("quadratic", {"condition": 50.0, "rotation": rotation, "start": (1.0, 2.0, 3.0)})
    assert dataset.surface is not None
    hessian = torch.autograd.functional.hessian(dataset.surface, torch.zeros(3, dtype=torch.float64))
    assert isinstance(hessian, torch.Tensor)
    assert np.linalg.eigvalsh(hessian.numpy()) == pytest.approx([1 / 50, 1 / 50**0.5, 1.0])
    assert bool((hessian - torch.diag(torch.diagonal(hessian))).abs().max() > 0.1) is bool(rotation)


def test_gradient_descent_matches_the_closed_form(workdir: Path) -> None:
    line = ["data=quadratic", "data.condition=10", "data.start=[1.0,1.0]", "optimizer=gd", "optimizer.lr=0.5"]
    record = harness.run([*line, "epochs=20", "trainer.precision=64-true"])
    assert record.choices["model"] == "point"
    assert record.choices["task"] == "optimise"
    assert record.time["steps"] == 20
    expected = np.hypot((1 - 0.5 * 0.1) ** 20, (1 - 0.5) ** 20)
    assert record.metrics["test/distance"] == pytest.approx(expected, rel=1e-9)
    too_large = harness.run([*line[:-1], "optimizer.lr=2.1", "epochs=400"])
    assert too_large.metrics["train/loss"] > 1e6 or too_large.status == "diverged"


@pytest.mark.parametrize("optimizer", ["lbfgs", "momentum", "sam", "random_search"])
def test_optimizers_descend(optimizer: str, workdir: Path) -> None:
    record = harness.run(["data=quadratic", f"optimizer={optimizer}", "optimizer.lr=0.1", "epochs=60"])
    assert record.status == "completed"
    assert record.metrics["test/loss"] < 0.05 * 0.55  # the start has 0.55


def test_stack_of_descents_matches_each_alone(workdir: Path) -> None:
    line = ["data=rosenbrock", "optimizer=adam", "optimizer.lr=0.01,0.1", "epochs=30", "executor=in_process"]
    fused = harness.sweep([*line, "path=fused", "study=fused"])
    alone = harness.sweep([*line, "path=alone", "study=alone"])
    for a, b in zip(fused, alone, strict=True):
        assert a.cohort["path"] == "fused"
        assert a.metrics["test/loss"] == pytest.approx(b.metrics["test/loss"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["model=point"], "model point has no task for class targets"),
        (["data=saddle", "model=mlp"], "model mlp has no task for surface targets"),
        (["data=quadratic", "corruption=[label_noise]"], "needs class targets"),
    ],
)
def test_incompatible_components_are_refused(line: list[str], message: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        harness.run(line)
    assert not Path("outputs").exists()


def test_start_and_minimum_must_have_the_same_length() -> None:
    with pytest.raises(harness.HarnessError, match="the start has 2 coordinates, but the minimum has 1"):
        harness.surface(torch.sum, (1, 2), (0,))


def test_random_point_draws_another_start_for_each_seed(workdir: Path) -> None:
    common = ["data=quadratic", "optimizer=gd", "optimizer.lr=0.0001", "epochs=1", "metric=[distance]"]
    random = [*common, "model=random_point", "model.spread=2"]
    spread = [harness.run([*random, f"seed={seed}"]).metrics["test/distance"] for seed in (0, 1)]
    assert abs(spread[0] - spread[1]) > 0.01
    assert harness.run([*random, "seed=0", "rerun=true"]).metrics["test/distance"] == spread[0]
    still = harness.run(common).metrics["test/distance"]
    assert still == pytest.approx(2**0.5, rel=1e-3, abs=0)
