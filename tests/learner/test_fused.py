"""Many runs as one program: equal to running alone, and to the bit the same whoever trains beside."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import nn

import harness
from harness import catalogue
from harness.build import Parts
from harness.dataset import SPLITS, Dataset, Samples
from harness.kinds import AT_END, KINDS
from harness.learner.fit import Run
from harness.learner.lift import Unlike
from harness.learner.member import Member
from harness.registry import REGISTRY
from harness.regularization import Regularizer
from harness.schema import of_entry
from tests.learner.helpers import FLOAT64, cohort, train

# Sizes that fill neither a cache line nor a vector: there a stack shows whether it minds who stands where.
BATCH = 43
ODD = [f"batch_size={BATCH}", "split.test=0.6", "split.val=0.2", "epochs=1"]
SETTINGS = {
    "width": 13,
    "depth": 2,
    "channels": [3, 5],
    "code": 5,
    "latent": 5,
    "denoising": 0.3,
    "hidden": 7,
    "readout": 1,
}  # where a model has them
OWN = {"transformer": {"width": 10, "heads": 2}, "conv1d": {"channels": 5}}
# Data and what is done to it once are the same for a stack as for one run, a task is chosen by the data, and who
# watches and where it is done are no part of a step. Every other kind is, one that is new too.
NOT_COMPUTING = {"data", "corruption", "transform", "task", "logger", "executor"}
COMPUTING = KINDS.keys() - NOT_COMPUTING
MEMBERS = (["seed=3"], ["seed=5", "optimizer.lr=0.003"], ["seed=9"], ["seed=9", "optimizer.lr=0.02"])


def small(model: str) -> list[str]:
    """A model with few numbers."""
    own = {p["name"] for p in catalogue.current().get("model", model)["parameters"]}
    sizes = {n: v for n, v in SETTINGS.items() if n in own} | OWN.get(model, {})
    within = catalogue.current().get("model", model)["traits"].get("inputs_within")
    scaled = ["transform=[min_max]"] if within else []
    return [f"model={model}", *scaled, *(f"model.{n}={v}".replace(" ", "") for n, v in sizes.items())]


# Those that the bridges make of others' collections are tried in tests/bridges.
OURS = {(e["kind"], e["name"]): e for e in catalogue.current() if e["plugin"] == "harness"}
SMALL = {name: small(name) for kind, name in OURS if kind == "model"}


def model_for(kind: str, name: str) -> str:
    """A model that a component can be tried in: itself, the one that it is for, or else a network of its dimensions."""
    known = catalogue.current()
    trait = {"loss": "losses", "metric": "metrics"}.get(kind, "")
    wanting = [m for m in known.names("model") if name in known.get("model", m)["traits"].get(trait, ())]
    images = 3 in known.get(kind, name)["traits"].get("input_ndim", ())
    tasks = known.get(kind, name)["traits"].get("tasks", ())
    own = known.get("task", tasks[0])["traits"].get("model") if tasks else None  # of a task that has models of its own
    return name if kind == "model" else wanting[0] if wanting else own or ("cnn" if images else "mlp")


def line(kind: str, name: str) -> list[str]:
    """A run with one built-in component, its model small."""
    entry = catalogue.current().get(kind, name)
    model = model_for(kind, name)
    task = [f"task={tasks[0]}"] if (tasks := entry["traits"].get("tasks")) else []
    chosen = [] if kind == "model" else [f"{kind}=[{name}]" if KINDS[kind].many else f"{kind}={name}"]
    path = f"{kind}.{name}" if KINDS[kind].many else kind
    given = [f"{path}.{p['name']}=0.1" for p in entry["parameters"] if p["required"]]
    return [*ODD, *SMALL[model], *task, *chosen, *given]


def stacks(entry: dict[str, Any]) -> bool:
    """Whether a component can be part of a stack: an estimator has no steps, a closure is its own run's, and what is
    measured when a run has ended is no part of it.
    """
    models = [e["traits"] for (kind, _), e in OURS.items() if kind == "model"]
    trained = {task for traits in models if not traits.get("estimator") for task in traits.get("tasks", ())}
    tasks = entry["traits"].get("tasks")
    alone = entry["traits"].get("estimator") or entry["traits"].get("closure") or AT_END.intersection(entry["asks"])
    return not alone and (not tasks or bool(trained & set(tasks)))


CASES = {
    **{
        f"{e['kind']} {e['name']}": line(e["kind"], e["name"])
        for e in OURS.values()
        if e["kind"] in COMPUTING and stacks(e)
    },
    **{  # a model may be several
        f"model {name} {p.name}={option}": [*line("model", name), f"model.{p.name}={option}"]
        for name in SMALL
        for p in of_entry(catalogue.current().get("model", name))
        if get_origin(p.hint) is Literal
        for option in get_args(p.hint)
        if option != p.default
    },
    "together": [
        *ODD, *SMALL["cnn"], "normalization=batch_norm", "augmentation=[random_shift]", "accumulate=2", "warmup=0.3",
        "regularizer=[dropout,l1,l2,gradient_clipping]", "scheduler=cosine", "activation=tanh",
    ],
}  # fmt: skip


def generated(case: str) -> bool:
    """Whether a component is one of the many that the bridge makes of torch's by one rule: those are tried in less."""
    kind, name, *_ = f"{case} ".split(" ")
    return bool(name) and REGISTRY.get(kind, name).__module__.endswith(".torch_bridge")


def data(case: str) -> Callable[[Dataset], Dataset]:
    """What a case is trained on: a few digits, or what the component's task wants in the place of their classes; or
    their rows one after the other.
    """
    kind, name, *_ = f"{case} ".split(" ")
    traits = catalogue.current().get(kind, name)["traits"] if name else {}
    made = MADE.get(next(iter(traits.get("tasks", ())), ""), whole)
    rows = kind == "model" and 2 in traits.get("input_ndim", ())
    less = few if "one_shot" not in traits.get("tasks", ()) else whole  # which wants some of every class
    return lambda dataset: made(steps(less(dataset)) if rows else less(dataset))


def whole(dataset: Dataset) -> Dataset:
    return dataset


def few(dataset: Dataset) -> Dataset:
    """Three whole batches and a smaller one to train on, and odd numbers to be measured on."""
    parts = {split: dataset.part(split) for split in SPLITS}
    counts = {"train": 3 * BATCH + 17, "val": 51, "test": 47}
    return replace(dataset, **{s: Samples(p.x[: counts[s]], p.y[: counts[s]]) for s, p in parts.items()})  # type: ignore[union-attr]


def steps(dataset: Dataset) -> Dataset:
    """Images [1, 8, 8] as sequences [8, 8]."""
    parts = {split: dataset.part(split) for split in SPLITS}
    made = {s: Samples(p.x.flatten(1, 2), p.y) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(dataset, **made)


def bowl(dataset: Dataset) -> Dataset:
    return harness.surface(lambda w: (w * w).sum(-1) * 0.5 + w.prod(-1), (1.0, -0.5, 2.0), (0.0, 0.0, 0.0))


def parity(dataset: Dataset) -> Dataset:
    parts = {split: dataset.part(split) for split in SPLITS}
    made = {s: Samples(p.x, p.y % 2) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(dataset, **made, classes=("even", "odd"))


def bits(dataset: Dataset) -> Dataset:
    parts = {split: dataset.part(split) for split in SPLITS}
    made = {
        s: Samples(p.x, (p.y[:, None] >> torch.arange(4) & 1).float())
        for s, p in parts.items()
        if isinstance(p, Samples)
    }
    return replace(dataset, **made, target="labels", classes=("1", "2", "4", "8"))


def sums(dataset: Dataset) -> Dataset:
    parts = {split: dataset.part(split) for split in SPLITS}
    made = {s: Samples(p.x, p.x.reshape(len(p.x), 8, 8).sum(1)) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(dataset, **made, target="real", classes=())


def words(dataset: Dataset) -> Dataset:
    """Each digit as one of 16 words, beside that of its class."""
    parts = {split: dataset.part(split) for split in SPLITS}
    made = {
        s: Samples(p.x.flatten(1)[:, 20:21].round().long().abs() % 16, p.y)
        for s, p in parts.items()
        if isinstance(p, Samples)
    }
    analogies = tuple((a, a + 1, a + 2, a + 3) for a in range(12))
    return replace(dataset, **made, vocabulary=tuple("abcdefghijklmnop"), analogies=analogies)


MADE = {"embedding": words, "regression": sums, "binary_classification": parity, "multilabel": bits, "optimise": bowl}


def weights(run: Run) -> dict[str, torch.Tensor]:
    assert run.member.weights is not None
    return run.member.weights


def same(a: Run, b: Run) -> bool:
    """Whether two runs are the same to the bit."""
    pairs = [(weights(a)[name], weights(b)[name]) for name in weights(a)]
    return (
        all(torch.equal(x, y) for x, y in pairs)
        and a.member.history == b.member.history
        and a.member.metrics == b.member.metrics
    )


def test_every_kind_of_a_step_has_cases() -> None:
    assert KINDS.keys() > NOT_COMPUTING
    assert {case.partition(" ")[0] for case in CASES} == COMPUTING | {"together"}


@pytest.mark.parametrize("case", CASES)
def test_every_component_fused_is_alone_and_the_same_whoever_trains_beside(case: str) -> None:
    lines = [[*CASES[case], *member] for member in MEMBERS]
    whole = cohort(lines, data(case))
    for some in ([3, 1, 2],) if generated(case) else ([2], [3, 1, 2]):
        for run, place in zip(cohort([lines[i] for i in some], data(case)), some, strict=True):
            assert same(run, whole[place]), (some, place)
    in_float64 = [[*one, *FLOAT64] for one in lines[1:3]]
    for one, run in zip(in_float64, cohort(in_float64, data(case)), strict=True):
        alone = close(one, run, case, 1e-9)
        assert run.member.metrics == pytest.approx(alone.metrics, rel=1e-6)  # torchmetrics sums in float32
    if not generated(case):
        close(lines[1], whole[1], case, 1e-4)  # later, Adam's steps under batch normalization amplify rounding


def close(line: list[str], run: Run, case: str, tolerance: float) -> Member:
    """The run of a line by itself, which has the loss of one in a stack, and measures the same things."""
    alone, _, _ = train(line, data(case))
    assert run.member.history[0]["train/loss"] == pytest.approx(alone.history[0]["train/loss"], rel=tolerance)
    assert run.member.metrics.keys() == alone.metrics.keys()
    return alone


def test_settings_that_are_lifted() -> None:
    """Dropout rates, penalty strengths and limits differ in one stack; each member is as it is alone."""
    base = [*ODD, *SMALL["mlp"], *FLOAT64, "regularizer=[dropout,l2,gradient_clipping]"]
    lines = [
        [*base, "seed=1", "regularizer.dropout.p=0.1"],
        [*base, "seed=1", "regularizer.dropout.p=0.8", "regularizer.l2.strength=0.1"],
        [*base, "seed=2", "regularizer.gradient_clipping.limit=0.01"],
    ]
    for one, run in zip(lines, cohort(lines), strict=True):
        assert run.member.history == [pytest.approx(row, rel=1e-9) for row in train(one)[0].history]


def diverging(parts: Parts) -> None:
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
    base = [*ODD[:-1], *SMALL["mlp"], "epochs=3", "optimizer=sgd"]
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
    base = [*ODD[:-1], *SMALL["mlp"], "epochs=8", "regularizer=[early_stopping,l2]",
            "regularizer.early_stopping.patience=1"]  # fmt: skip
    lines = [[*base, f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in ((1, 0.2), (2, 0.05), (3, 0.3), (4, 1e-4))]
    together = cohort(lines)
    assert len({run.member.epochs for run in together}) > 1
    for run, one in zip(together, lines, strict=True):
        assert same(run, cohort([one])[0])
        assert run.member.epochs == train(one)[0].epochs


def test_all_but_one_leave_and_it_goes_on_to_the_same_bits() -> None:
    base = [*ODD[:-1], *SMALL["mlp"], "epochs=3"]
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
    base = [*ODD[:-1], *SMALL["mlp"], "epochs=2"]

    def change(parts: Parts) -> None:
        parts.regularizers.append(FullDisk(parts.values["seed"], bad=2))

    runs = cohort([[*base, f"seed={seed}"] for seed in (1, 2, 3)], change=change)
    assert isinstance(runs[1].member.failed, OSError)
    assert [run.member.epochs for run in runs] == [2, 1, 2]
    assert same(runs[2], cohort([[*base, "seed=3"]])[0])


def test_members_of_another_shape_are_told() -> None:
    lines = [[*ODD, *SMALL["mlp"]], [*ODD, "model=mlp", "model.width=12"]]
    with pytest.raises(Unlike, match="differ"):
        cohort(lines)


def test_a_draw_that_no_one_redirects_is_refused() -> None:
    class Drawing(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.alpha_dropout(self.inner(x), 0.5, training=True)

    def change(parts: Parts) -> None:
        parts.model = Drawing(parts.model)

    with pytest.raises(RuntimeError, match="vmap"):
        cohort([[*ODD, *SMALL["mlp"], f"seed={seed}"] for seed in (1, 2)], change=change)


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers(layer: str) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, layer)(8, 11, batch_first=True)
            self.head = nn.Linear(11, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cell(x.reshape(len(x), 8, 8))[0][:, -1])

    def change(parts: Parts) -> None:
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

    def change(parts: Parts) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(parts.values["seed"])
            parts.model = Net()
            parts.model(torch.zeros(1, 64))

    lines = [[*ODD, *FLOAT64, f"seed={seed}"] for seed in (1, 2)]
    for one, run in zip(lines, cohort(lines, change=change), strict=True):
        alone, _, _ = train(one, change=change)
        assert run.member.history == [pytest.approx(row, rel=1e-9) for row in alone.history]
