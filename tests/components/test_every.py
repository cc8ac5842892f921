"""What holds for every built-in component, whatever it is: a component that is added is tested here unseen."""

import inspect
import pickle
import re
from pathlib import Path
from random import Random
from typing import get_args

import pytest
import torch
import torchmetrics
from torch import nn

from harness import catalogue
from harness.block import Block
from harness.build import component, trait
from harness.component import asks, mark_of, parameters, validate
from harness.dataset import SPLITS, Dataset, Samples, Target
from harness.dataset import validate as validate_dataset
from harness.kinds import KINDS
from harness.noise import Noise, keys
from harness.registry import REGISTRY
from harness.regularization import Regularizer, does
from harness.schema import KEY, of_entry
from harness.seeds import generator
from harness.settings import Split
from harness.tasks import Task
from harness.types import convert, doc_of, space_of
from tests.components.helpers import data

ROWS = [row for row in catalogue.current() if row["plugin"] == "harness"]  # the bridges' are tried in tests/bridges
MATHEMATICAL = ("activation", "initializer", "loss", "normalization", "optimizer", "regularizer", "scheduler")


def over(rows):
    """A test for each of these components."""
    return pytest.mark.parametrize("row", rows, ids=[f"{row['kind']}/{row['name']}" for row in rows])


def spaces(row):
    return {p.name: space for p in of_entry(row) if (space := space_of(p.hint))}


every = over(ROWS)
with_parameters = over([row for row in ROWS if row["parameters"]])
with_spaces = over([row for row in ROWS if spaces(row)])
buildable = over([row for row in ROWS if not any(p["required"] for p in row["parameters"])])


def node(row):
    return {KEY: row["name"]} | {p["name"]: p["default"] for p in row["parameters"] if not p["required"]}


def test_the_catalogue_is_whole():
    assert not catalogue.current().problems
    assert {row["kind"] for row in ROWS} == set(KINDS)


@every
def test_it_keeps_the_rule_and_is_in_the_catalogue_as_it_is(row):
    function = REGISTRY.get(row["kind"], row["name"])
    mark = validate(function)
    assert mark == mark_of(function)
    assert (mark.kind, mark.name) == (row["kind"], row["name"])
    assert asks(function) == row["asks"]
    assert [p.name for p in parameters(function)] == [p.name for p in of_entry(row)]


@every
def test_it_is_documented(row):
    first, *rest = inspect.cleandoc(row["doc"]).splitlines()
    assert re.match(r"[A-Z0-9].{10,}[.:)]$", first), "one line that says what it is"
    assert len(first) <= 120
    assert not rest or rest[0] == ""
    if row["reference"] is not None:
        assert re.search(r"\b(18|19|20)\d\d\b", row["reference"]), "a reference has a year"


@over([row for row in ROWS if row["kind"] in MATHEMATICAL and row["reference"]])
def test_more_than_a_line_is_told_where_there_is_a_formula(row):
    assert len(row["doc"].strip().splitlines()) > 2


@with_parameters
def test_its_defaults_are_valid_and_its_parameters_told(row):
    for declared, told in zip(parameters(REGISTRY.get(row["kind"], row["name"])), of_entry(row), strict=True):
        assert doc_of(declared.hint) == doc_of(told.hint)
        assert declared.required == told.required
        if not declared.required:
            value = convert(declared.hint, declared.default)
            assert value == convert(told.hint, told.default) == convert(declared.hint, value)


@with_spaces
def test_what_its_spaces_draw_is_valid(row):
    rng = Random(0)
    told = {p.name: p.hint for p in of_entry(row)}
    for declared in parameters(REGISTRY.get(row["kind"], row["name"])):
        space = space_of(declared.hint)
        assert space == spaces(row).get(declared.name)
        for _ in range(200 if space else 0):
            value = space.sample(rng)
            assert convert(declared.hint, value) == convert(told[declared.name], value)


@every
def test_it_is_picklable(row):
    function = REGISTRY.get(row["kind"], row["name"])
    assert pickle.loads(pickle.dumps(function)) is function


@over([row for row in ROWS if row["traits"]])
def test_its_traits_mean_something(row):
    catalogue_now = catalogue.current()
    assert set(row["traits"]) <= set(KINDS[row["kind"]].traits)
    for task in row["traits"].get("tasks", []):
        assert catalogue_now.get("task", task)
    for kind, named in (("loss", "losses"), ("metric", "metrics")):
        for name in row["traits"].get(named, []) if row["kind"] == "model" else ():
            assert set(row["traits"]["tasks"]) <= set(catalogue_now.get(kind, name)["traits"]["tasks"])
    if row["kind"] == "task":
        assert catalogue_now.get("loss", row["traits"]["loss"])
        assert all(catalogue_now.get("metric", name) for name in row["traits"]["metrics"])
        assert set(row["traits"]["targets"]) <= set(get_args(Target))
        assert row["traits"].get("classes", 2) >= 2
    if row["kind"] == "activation":
        assert trait("activation", node(row), "gain", 1.0) > 0


class Making(nn.Module):
    """Makes the samples that it is told to."""

    def sample(self, like):
        return like


def offers(kind, row, tmp_path, sampled=None):
    """Everything that a kind may ask for, small."""
    iris = data("iris")
    weight = nn.Parameter(torch.ones(4, 3))
    layer = nn.Linear(3, 4)
    layers = nn.Sequential(layer, nn.Linear(4, 2)).requires_grad_(kind != "initializer")
    width = trait("activation", node(row) | (sampled or {}), "width_factor", 1) if kind == "activation" else 1
    ndim = (row["traits"].get("input_ndim") or [1])[0]
    optimizer = torch.optim.SGD([weight], lr=0.1)
    surfaces = "surface" in (row["traits"].get("targets") or ())
    common = {
        "params": [weight],
        "named_params": [("weight", weight)],
        "optimizer": optimizer,
        "total_steps": 10,
        "classes": 3,
        "num_classes": 3,
        "vocabulary": 3,
        "analogies": ((0, 1, 2, 0),),
        "dataset": data("saddle") if surfaces else iris,
        "train": iris.train.x,
        "chunks": iris.chunks,
        "loss": nn.functional.cross_entropy,
        "split": Split(),
        "cache_dir": str(tmp_path),
        "run_dir": str(tmp_path),
        "name": "test",
        "jobs": 1,
        "inputs": {1: (4,), 2: (5, 4), 3: (1, 8, 8)}[ndim],
        "outputs": 3,
        "block": Block(lambda features: nn.ReLU(), lambda features, ndim: None, [], True),
        "features": 3 * width,
        "axis": 1,
        "layer": layer,
        "ndim": 2 if row["name"] == "instance_norm" else 0,
        "model": Making() if kind == "metric" else layers,
        "history": [{"val/loss": 0.5}],
        "directions": {"val/loss": False},
        "batch": iris.train.x[:, :3],
        "untouched": layer.weight.detach().clone(),
        "task": (row["traits"].get("tasks") or [None])[0],
        "x": torch.linspace(-1, 1, 9),
        "prediction": torch.ones(6, 3),
        "target": torch.ones(6, 3) / 3,
        "weight": weight.detach().clone(),
        "bias": torch.zeros(4),
        "fan_in": 3,
        "fan_out": 4,
        "gain": 1.0,
        "index": 0,
        "generator": generator(0),
    }
    if "embedding" in (row["name"], *(row["traits"].get("tasks") or ())):
        words = torch.arange(6)[:, None] % 3
        parts = dict.fromkeys(SPLITS, Samples(words, words[:, 0]))
        common |= {"dataset": Dataset(**parts, target="class", classes=("a", "b", "c"), vocabulary=("a", "b", "c"))}
        common |= {"inputs": (1,), "target": words[:, 0]}
        common["prediction"] = component("model", node(catalogue.current().get("model", "skip_gram")), **common)(words)
    if kind == "loss" and (models := [r for r in ROWS if row["name"] in r["traits"].get("losses", ())]):
        common["target"] = torch.rand(6, 1, 8, 8)
        common["prediction"] = component("model", node(models[0]), **common | {"inputs": (1, 8, 8)})(common["target"])
    if row["traits"].get("pairs"):
        common["prediction"], common["target"] = torch.rand(6), torch.arange(6) % 2
    if kind == "normalization" and "layer" in row["asks"]:
        common["name"] = "weight"
    return {name: common[name] for name in (*KINDS[kind].offers, "untouched", "task")} | {"traits": row["traits"]}


def check_activation(made, asked):
    if isinstance(made, nn.Module):
        x = torch.linspace(-1, 1, 2 * asked["features"] * 5).view(2, asked["features"], 5)
        made = made(x)
        assert made.shape == (2, 3, 5)
    else:
        assert made.shape == asked["x"].shape
    assert torch.isfinite(made).all()


def check_augmentation(made, asked):
    x, y = torch.ones(5, 2, 6, 6), torch.arange(5)
    changed, target = made(x, y, Noise(keys(torch.tensor(0), 0)))
    assert changed.shape == x.shape
    assert len(target) == 5


def check_dataset(made, asked):
    assert isinstance(made, Dataset)
    validate_dataset(made, "built-in")


def check_executor(made, asked):
    with made:
        assert made.submit(max, 1, 2).result() == 2


def check_initializer(made, asked):
    assert made is None
    weights = [p for p in asked["model"].parameters() if p.ndim > 1]
    assert all(torch.isfinite(weight).all() for weight in (asked["weight"], *weights))
    filled = [not torch.equal(asked["weight"], torch.ones(4, 3)), not torch.equal(weights[0], asked["untouched"])]
    assert filled.count(True) == (0 if asked["traits"].get("keeps") else 1)


def check_logger(made, asked):
    made.log_metrics({"loss": 1.0}, 0)
    made.save()
    made.finalize("success")
    assert any(path.is_file() for path in Path(asked["run_dir"]).iterdir())


def check_loss(made, asked):
    for loss in made.values() if isinstance(made, dict) else [made]:
        assert loss.shape == ()
        assert torch.isfinite(loss)


def check_metric(made, asked):
    if isinstance(made, (int, float)):
        assert isinstance(asked["traits"].get("higher_is_better", False), bool)
        return
    assert isinstance(made, torchmetrics.Metric)
    assert isinstance(made.higher_is_better, bool)


def check_model(made, asked):
    if asked["traits"].get("estimator"):
        check_estimator(made, asked, asked["traits"]["tasks"])
        return
    shape = (5, *asked["inputs"])
    x = torch.rand(shape)
    if asked["task"] == "embedding":
        centre, *_ = made(torch.zeros(shape, dtype=torch.int64))
        assert centre.shape == (5, made.embeddings().shape[1])
        assert len(made.embeddings()) == asked["vocabulary"]
    elif asked["task"] == "one_shot":
        assert made.scores(made(x).expand(1, 3, 5, -1), made(x)[None]).shape == (1, 5, 3)
    elif asked["task"] == "generation":
        assert made.sample(x).shape == shape
        assert isinstance(made(x), tuple)
    else:
        assert made(x).shape == (shape if asked["task"] in ("reconstruction", "optimise") else (5, asked["outputs"]))


def check_estimator(made, asked, tasks):
    x = torch.rand(60, *asked["inputs"], generator=torch.Generator().manual_seed(0))
    targets = {"regression": torch.stack([x.flatten(1).sum(1)] * 3, 1)}  # of the others, all have classes
    for task in tasks:
        made.fit(Samples(x, targets.get(task, torch.arange(60) % 3)))
        predicted = torch.as_tensor(made.predict(x))
        assert predicted.shape == (x.shape if task == "reconstruction" else (60, asked["outputs"]))
        assert torch.isfinite(predicted).all()
        assert torch.equal(predicted, torch.as_tensor(made.predict(x)))


def check_normalization(made, asked):
    shape = (7, 3, 4, 4)[: 2 + asked["ndim"]]
    assert made is None or made(torch.rand(shape)).shape == shape
    assert asked["layer"](torch.rand(7, 3)).shape == (7, 4)


def check_optimizer(made, asked):
    assert [p for group in made.param_groups for p in group["params"]] == asked["params"]


def check_regularizer(made, asked):
    assert isinstance(made, Regularizer)
    assert any(does(made, hook) for hook in vars(Regularizer) if callable(getattr(Regularizer, hook)))


def check_scheduler(made, asked):
    asked["optimizer"].step()
    if isinstance(made, torch.optim.lr_scheduler.ReduceLROnPlateau):
        made.step(1.0)
    elif made is not None:
        made.step()
    assert 0 <= asked["optimizer"].param_groups[0]["lr"] <= 0.1


def check_task(made, asked):
    assert isinstance(made, Task)
    assert made.loss is asked["loss"]


def check_transform(made, asked):
    changed = made(asked["train"])
    assert len(changed) == len(asked["train"])
    assert torch.isfinite(changed).all()
    assert torch.equal(made(asked["train"][:1]), changed[:1])  # a sample's own values alone decide


CHECKS = {
    "activation": check_activation,
    "augmentation": check_augmentation,
    "corruption": check_dataset,
    "data": check_dataset,
    "executor": check_executor,
    "initializer": check_initializer,
    "logger": check_logger,
    "loss": check_loss,
    "metric": check_metric,
    "model": check_model,
    "normalization": check_normalization,
    "optimizer": check_optimizer,
    "regularizer": check_regularizer,
    "scheduler": check_scheduler,
    "task": check_task,
    "transform": check_transform,
}


@buildable
def test_it_builds_with_its_defaults_and_gives_what_its_kind_says(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = offers(row["kind"], row, tmp_path)
    CHECKS[row["kind"]](component(row["kind"], node(row), **asked), asked)


@over([row for row in ROWS if spaces(row) and not any(p["required"] for p in row["parameters"])])
@pytest.mark.parametrize("seed", range(4))
def test_it_builds_with_samples_of_its_spaces(row, seed, tmp_path):
    rng = Random(seed)
    sampled = {name: space.sample(rng) for name, space in spaces(row).items()}
    asked = offers(row["kind"], row, tmp_path, sampled)
    CHECKS[row["kind"]](component(row["kind"], node(row) | sampled, **asked), asked)
