"""Tests of many runs as one program: equal to runs alone, and bitwise independent of the other members."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import nn

from harness.modeling.builder import RunComponents
from harness.modeling.regularizer import Regularizer
from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import KINDS
from harness.testing.checks.fused import COMPUTING, NOT_COMPUTING, ODD, line, small, suited
from harness.testing.training import FLOAT64, cohort, same, train
from harness.training.vectorized.lifting import NotStackable

MEMBERS = (["seed=3"], ["seed=5", "optimizer.lr=0.003"], ["seed=9"], ["seed=9", "optimizer.lr=0.02"])
MODELS = {name: catalogue.current().get("model", name) for name in catalogue.current().names("model")}
# `harness.testing` tries each component with its defaults; these cases are choices among settings, and several
# components at once.
CASES: dict[str, list[str]] = {
    **{
        f"{name} {p.name}={option}": [*line(entry, {}), f"model.{p.name}={option}"]
        for name, entry in MODELS.items()
        if not entry["traits"].get("estimator")
        for p in entry_parameters(entry)
        if get_origin(p.hint) is Literal
        for option in get_args(p.hint)
        if option != p.default
    },
    "transformer width=10": [*line(MODELS["transformer"], {}), "model.width=10", "model.heads=2"],
    "together": [
        *ODD, *small("cnn"), "normalization=batch_norm", "augmentation=[random_shift]", "accumulate=2", "warmup=0.3",
        "regularizer=[dropout,l1,l2,gradient_clipping]", "scheduler=cosine", "activation=tanh",
    ],
}  # fmt: skip


def data(case: str) -> Any:
    """The data set of a case."""
    name = case.partition(" ")[0]
    return suited(MODELS[name]) if name in MODELS else lambda dataset: dataset


def test_every_kind_of_component_in_a_step_has_cases() -> None:
    assert KINDS.keys() > NOT_COMPUTING
    assert set(COMPUTING) | NOT_COMPUTING == set(KINDS)


@pytest.mark.parametrize("case", CASES)
def test_fused_run_matches_the_run_alone(case: str) -> None:
    lines = [[*CASES[case], *member] for member in MEMBERS[:3]]
    for precision, tolerance in ([], 1e-4), (FLOAT64, 1e-9):
        fused = cohort([[*one, *precision] for one in lines], data(case))
        for one, run in zip(lines, fused, strict=True):
            alone, _, _ = train([*one, *precision], data(case))
            assert run.state.history[0]["train/loss"] == pytest.approx(alone.history[0]["train/loss"], rel=tolerance)
            assert run.state.metrics.keys() == alone.metrics.keys()
            if precision:  # in float32, Adam's first steps under batch normalization amplify rounding
                assert run.state.metrics == pytest.approx(alone.metrics, rel=1e-6)  # torchmetrics sums in float32


@pytest.mark.parametrize("case", CASES)
def test_member_is_bitwise_independent_of_the_others(case: str) -> None:
    lines = [[*CASES[case], *member] for member in MEMBERS]
    whole = cohort(lines, data(case))
    for some in [2], [0, 1], [3, 1, 2]:
        for run, place in zip(cohort([lines[i] for i in some], data(case)), some, strict=True):
            assert same(run, whole[place]), (some, place)


def test_lifted_settings_match_runs_alone() -> None:
    """Dropout rates, penalty strengths and limits differ within one stack."""
    base = [*ODD, *small("mlp"), *FLOAT64, "regularizer=[dropout,l2,gradient_clipping]"]
    lines = [
        [*base, "seed=1", "regularizer.dropout.p=0.1"],
        [*base, "seed=1", "regularizer.dropout.p=0.8", "regularizer.l2.strength=0.1"],
        [*base, "seed=2", "regularizer.gradient_clipping.limit=0.01"],
    ]
    for one, run in zip(lines, cohort(lines), strict=True):
        assert run.state.history == [pytest.approx(row, rel=1e-9) for row in train(one)[0].history]


def diverging(parts: RunComponents) -> None:
    """Make one member diverge in its second epoch by its learning rate."""
    if parts.values["seed"] != 5:
        return
    make = parts.optimizer

    def ruin(**offers: object) -> torch.optim.Optimizer:
        optimizer = make(**offers)
        step, count = optimizer.step, itertools.count()

        def stepped(*args: object) -> object:
            if next(count) == 9:
                for group in optimizer.param_groups:
                    for p in group["params"]:
                        p.data.fill_(math.nan)
            return step(*args)

        optimizer.step = stepped  # type: ignore[method-assign,assignment]
        return optimizer

    parts.optimizer = ruin


def test_diverged_member_does_not_affect_the_others() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=3", "optimizer=sgd"]
    lines = [[*base, f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in ((3, 0.1), (5, 0.3), (7, 0.1), (8, 0.2))]
    first, lost, *rest = cohort(lines, change=diverging)
    assert lost.state.diverged is not None
    assert lost.state.diverged["step"] == 10
    assert lost.state.weights is None
    assert lost.state.epochs == 1
    for run, place in zip((first, *rest), (0, 2, 3), strict=True):
        assert run.state.epochs == 3
        assert same(run, cohort([lines[place]])[0])


def test_members_stop_early_at_different_epochs() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=8", "regularizer=[early_stopping,l2]",
            "regularizer.early_stopping.patience=1"]  # fmt: skip
    lines = [[*base, f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in ((1, 0.2), (2, 0.05), (3, 0.3), (4, 1e-4))]
    together = cohort(lines)
    assert len({run.state.epochs for run in together}) > 1
    for run, one in zip(together, lines, strict=True):
        assert same(run, cohort([one])[0])
        assert run.state.epochs == train(one)[0].epochs


def test_last_remaining_member_keeps_its_bits() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=3"]
    lines = [[*base, "seed=5"], [*base, "seed=6", "optimizer.lr=0.002"]]  # each has its own optimizer
    lost, left = cohort(lines, change=diverging)
    assert lost.state.diverged is not None
    assert same(left, cohort([lines[1]])[0])


class FullDisk(Regularizer):
    """Fail in the run with the given seed."""

    def __init__(self, seed: int, bad: int) -> None:
        self.bad = seed == bad

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        if self.bad:
            raise OSError("the disk is full")
        return False


def test_error_in_one_member_ends_only_that_one() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=2"]

    def change(parts: RunComponents) -> None:
        parts.regularizers.append(FullDisk(parts.values["seed"], bad=2))

    runs = cohort([[*base, f"seed={seed}"] for seed in (1, 2, 3)], change=change)
    assert isinstance(runs[1].state.failed, OSError)
    assert [run.state.epochs for run in runs] == [2, 1, 2]
    assert same(runs[2], cohort([[*base, "seed=3"]])[0])


def test_members_of_another_shape_are_refused() -> None:
    lines = [[*ODD, *small("mlp")], [*ODD, "model=mlp", "model.width=12"]]
    with pytest.raises(NotStackable, match="differ"):
        cohort(lines)


def test_draw_that_is_not_redirected_is_refused() -> None:
    class Drawing(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.alpha_dropout(self.inner(x), 0.5, training=True)

    def change(parts: RunComponents) -> None:
        parts.model = Drawing(parts.model)

    with pytest.raises(RuntimeError, match="vmap"):
        cohort([[*ODD, *small("mlp"), f"seed={seed}"] for seed in (1, 2)], change=change)


def assert_matches_alone(make: Callable[[], nn.Module]) -> None:
    """Assert that runs of a model have the history, in float64, that they have alone."""

    def change(parts: RunComponents) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(parts.values["seed"])
            parts.model = make()
            parts.model(torch.zeros(1, 64))  # lazy layers get their sizes

    lines = [[*ODD, *FLOAT64, f"seed={seed}"] for seed in (1, 2)]
    for one, run in zip(lines, cohort(lines, change=change), strict=True):
        alone, _, _ = train(one, change=change)
        assert run.state.history == [pytest.approx(row, rel=1e-9) for row in alone.history]


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_fused_recurrent_layers_match_runs_alone(layer: str) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, layer)(8, 11, batch_first=True)
            self.head = nn.Linear(11, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cell(x.reshape(len(x), 8, 8))[0][:, -1])

    assert_matches_alone(Recurrent)


@pytest.mark.parametrize("layer", ["Conv1d", "ConvTranspose1d", "ConvTranspose2d", "Conv3d"])
def test_fused_convolutions_match_runs_alone(layer: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shape = {"1": (1, 64), "2": (1, 8, 8), "3": (1, 4, 4, 4)}[layer[-2]]
            self.convolution = getattr(nn, layer)(1, 4, 3, stride=2, padding=1)
            self.head = nn.LazyLinear(10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.convolution(x.reshape(len(x), *self.shape)).flatten(1))

    assert_matches_alone(Net)


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        ("max_pool2d", {}),
        ("max_pool2d", {"stride": 1, "padding": 1}),
        ("max_pool2d", {"ceil_mode": True, "return_indices": True}),
        ("avg_pool2d", {}),
        ("avg_pool2d", {"stride": 1, "padding": 1, "divisor_override": 2}),
    ],
    ids=str,
)
def test_fused_pooling_matches_runs_alone(function: str, settings: dict[str, Any]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.head = nn.Conv2d(1, 4, 3), nn.LazyLinear(10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pooled = getattr(torch.nn.functional, function)(self.convolution(x.view(len(x), 1, 8, 8)), 3, **settings)
            images = pooled[0] if isinstance(pooled, tuple) else pooled
            return self.head(images.view(len(x), -1))

    assert_matches_alone(Net)
