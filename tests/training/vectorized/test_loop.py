"""Many runs as one program: equal to running alone, and to the bit the same whoever trains beside."""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import nn

from harness.config.schema import entry_parameters
from harness.modeling.builder import RunComponents
from harness.modeling.regularizer import Regularizer
from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.testing.checks.fused import COMPUTING, NOT_COMPUTING, ODD, line, small, suited
from harness.testing.training import FLOAT64, cohort, same, train
from harness.training.vectorized.lifting import NotStackable

MEMBERS = (["seed=3"], ["seed=5", "optimizer.lr=0.003"], ["seed=9"], ["seed=9", "optimizer.lr=0.02"])
MODELS = {name: catalogue.current().get("model", name) for name in catalogue.current().names("model")}
# What a component is with its defaults, `harness.testing` tries of each: here is what a choice among its settings makes
# of a model, and several components at once.
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
    """What a case is trained on."""
    name = case.partition(" ")[0]
    return suited(MODELS[name]) if name in MODELS else lambda dataset: dataset


def test_every_kind_of_a_step_has_cases() -> None:
    assert KINDS.keys() > NOT_COMPUTING
    assert set(COMPUTING) | NOT_COMPUTING == set(KINDS)


@pytest.mark.parametrize("case", CASES)
def test_a_variant_fused_is_alone(case: str) -> None:
    lines = [[*CASES[case], *member] for member in MEMBERS[:3]]
    for precision, tolerance in ([], 1e-4), (FLOAT64, 1e-9):
        fused = cohort([[*one, *precision] for one in lines], data(case))
        for one, run in zip(lines, fused, strict=True):
            alone, _, _ = train([*one, *precision], data(case))
            assert run.member.history[0]["train/loss"] == pytest.approx(alone.history[0]["train/loss"], rel=tolerance)
            assert run.member.metrics.keys() == alone.metrics.keys()
            if precision:  # in float32, Adam's first steps under batch normalization amplify rounding
                assert run.member.metrics == pytest.approx(alone.metrics, rel=1e-6)  # torchmetrics sums in float32


@pytest.mark.parametrize("case", CASES)
def test_a_member_is_the_same_whoever_trains_beside(case: str) -> None:
    lines = [[*CASES[case], *member] for member in MEMBERS]
    whole = cohort(lines, data(case))
    for some in [2], [0, 1], [3, 1, 2]:
        for run, place in zip(cohort([lines[i] for i in some], data(case)), some, strict=True):
            assert same(run, whole[place]), (some, place)


def test_settings_that_are_lifted() -> None:
    """Dropout rates, penalty strengths and limits differ in one stack; each member is as it is alone."""
    base = [*ODD, *small("mlp"), *FLOAT64, "regularizer=[dropout,l2,gradient_clipping]"]
    lines = [
        [*base, "seed=1", "regularizer.dropout.p=0.1"],
        [*base, "seed=1", "regularizer.dropout.p=0.8", "regularizer.l2.strength=0.1"],
        [*base, "seed=2", "regularizer.gradient_clipping.limit=0.01"],
    ]
    for one, run in zip(lines, cohort(lines), strict=True):
        assert run.member.history == [pytest.approx(row, rel=1e-9) for row in train(one)[0].history]


def diverging(parts: RunComponents) -> None:
    """One member whose learning rate ruins it in its second epoch."""
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


def test_one_diverges_and_the_others_never_knew() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=3", "optimizer=sgd"]
    lines = [[*base, f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in ((3, 0.1), (5, 0.3), (7, 0.1), (8, 0.2))]
    first, lost, *rest = cohort(lines, change=diverging)
    assert lost.member.diverged is not None
    assert lost.member.diverged["step"] == 10
    assert lost.member.weights is None
    assert lost.member.epochs == 1
    for run, place in zip((first, *rest), (0, 2, 3), strict=True):
        assert run.member.epochs == 3
        assert same(run, cohort([lines[place]])[0])


def test_stopping_early_at_different_epochs() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=8", "regularizer=[early_stopping,l2]",
            "regularizer.early_stopping.patience=1"]  # fmt: skip
    lines = [[*base, f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in ((1, 0.2), (2, 0.05), (3, 0.3), (4, 1e-4))]
    together = cohort(lines)
    assert len({run.member.epochs for run in together}) > 1
    for run, one in zip(together, lines, strict=True):
        assert same(run, cohort([one])[0])
        assert run.member.epochs == train(one)[0].epochs


def test_all_but_one_leave_and_it_goes_on_to_the_same_bits() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=3"]
    lines = [[*base, "seed=5"], [*base, "seed=6", "optimizer.lr=0.002"]]  # other settings: an optimizer each
    lost, left = cohort(lines, change=diverging)
    assert lost.member.diverged is not None
    assert same(left, cohort([lines[1]])[0])


class FullDisk(Regularizer):
    """Fails in the run whose seed it is given."""

    def __init__(self, seed: int, bad: int) -> None:
        self.bad = seed == bad

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        if self.bad:
            raise OSError("the disk is full")
        return False


def test_what_fails_for_one_ends_that_one_alone() -> None:
    base = [*ODD[:-1], *small("mlp"), "epochs=2"]

    def change(parts: RunComponents) -> None:
        parts.regularizers.append(FullDisk(parts.values["seed"], bad=2))

    runs = cohort([[*base, f"seed={seed}"] for seed in (1, 2, 3)], change=change)
    assert isinstance(runs[1].member.failed, OSError)
    assert [run.member.epochs for run in runs] == [2, 1, 2]
    assert same(runs[2], cohort([[*base, "seed=3"]])[0])


def test_members_of_another_shape_are_told() -> None:
    lines = [[*ODD, *small("mlp")], [*ODD, "model=mlp", "model.width=12"]]
    with pytest.raises(NotStackable, match="differ"):
        cohort(lines)


def test_a_draw_that_no_one_redirects_is_refused() -> None:
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


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers(layer: str) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, layer)(8, 11, batch_first=True)
            self.head = nn.Linear(11, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cell(x.reshape(len(x), 8, 8))[0][:, -1])

    def change(parts: RunComponents) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(parts.values["seed"])
            parts.model = Recurrent()

    lines = [[*ODD, *FLOAT64, f"seed={seed}"] for seed in (1, 2)]
    for one, run in zip(lines, cohort(lines, change=change), strict=True):
        alone, _, _ = train(one, change=change)
        assert run.member.history == [pytest.approx(row, rel=1e-9) for row in alone.history]


@pytest.mark.parametrize("layer", ["Conv1d", "ConvTranspose1d", "ConvTranspose2d", "Conv3d"])
def test_convolutions_of_every_kind(layer: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shape = {"1": (1, 64), "2": (1, 8, 8), "3": (1, 4, 4, 4)}[layer[-2]]
            self.convolution = getattr(nn, layer)(1, 4, 3, stride=2, padding=1)
            self.head = nn.LazyLinear(10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.convolution(x.reshape(len(x), *self.shape)).flatten(1))

    def change(parts: RunComponents) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(parts.values["seed"])
            parts.model = Net()
            parts.model(torch.zeros(1, 64))

    lines = [[*ODD, *FLOAT64, f"seed={seed}"] for seed in (1, 2)]
    for one, run in zip(lines, cohort(lines, change=change), strict=True):
        alone, _, _ = train(one, change=change)
        assert run.member.history == [pytest.approx(row, rel=1e-9) for row in alone.history]
