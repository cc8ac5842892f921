"""Tests of choices that a model cannot use: refused if typed, left out of the config if a default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.config.composition import compose
from harness.datasets.loading import usable
from harness.execution.preparation import Preparation
from harness.modeling.unused import key_of

QUIET = ["trainer=cpu", "diagnostic=[]", "logger=[]"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model=logistic normalization=batch_norm", "model logistic does not ask for block: it has no place for norm"),
        ("model=logistic normalization=batch_norm", "choose a model that asks for block .*mlp"),
        ("model=logistic regularizer=[dropout,l2]", r"has no place for regularizer=\[dropout\]\."),
        ("model=logistic activation=tanh", "has no place for activation=tanh"),
        ("model=logistic activation=relu", "has no place for activation=relu"),
        ("model=deep_linear regularizer=[stochastic_depth]", r"has no place for regularizer=\[stochastic_depth\]"),
        ("model=mlp model.depth=0 regularizer=[dropout]", r"model mlp with these settings .* \[?.*change model\.\*"),
        ("model=mlp regularizer=[stochastic_depth]", "model mlp with these settings has no place"),
        ("model=rnn data=majority normalization=batch_norm", "model rnn with these settings has no place"),
        ("data=rosenbrock normalization=weight_norm", "has no place for normalization=weight_norm"),
        ("data=rosenbrock initializer=zeros", "model point has no weights for initializer=zeros to fill"),
        (
            "task=reconstruction regularizer=[label_smoothing]",
            "task reconstruction does not look at them: leave it out",
        ),
        (
            "model=random_forest optimizer=sgd epochs=3",
            "fitted at once, without steps: it cannot use optimizer=sgd, epochs=3",
        ),
        ("model=random_forest optimizer.lr=0.1", "it cannot use optimizer=adam"),
        ("model=random_forest regularizer=[l2]", r"it cannot use regularizer=\[l2\]"),
        ("model=random_forest augmentation=[input_noise]", r"it cannot use augmentation=\[input_noise\]"),
        ("model=kmeans task=clustering batch_size=8 warmup=0.1", "it cannot use batch_size=8, warmup=0.1"),
    ],
)
def test_unused_choice_is_refused_in_one_line(line: str, message: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=message) as refused:
        Preparation().prepare(compose([*QUIET, *line.split()]))
    assert len(str(refused.value).splitlines()) == 1


def test_sweep_of_an_estimator_over_unused_choices_is_refused(workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match="model random_forest is fitted at once"):
        harness.sweep([*QUIET, "model=random_forest", "regularizer=[],[dropout]", "normalization=none,batch_norm"])
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "left_out"),
    [
        ("model=random_forest", ("activation", "initializer", "optimizer", "scheduler")),
        ("model=logistic", ("activation",)),
        ("experiment=digits_logistic", ("activation",)),
        ("model=rnn data=majority", ("activation",)),
        ("model=mlp", ()),
    ],
)
def test_unused_default_is_none_in_the_record(line: str, left_out: tuple[str, ...], workdir: Path) -> None:
    record = Preparation().prepare(compose([*QUIET, *line.split()])).record
    kinds = ("activation", "initializer", "optimizer", "scheduler")
    assert tuple(kind for kind in kinds if record.choices[kind] == "none") == left_out
    assert all(record.config[kind] == {"_component_": "none"} for kind in left_out)


def test_sweep_over_models_leaves_out_unused_choices(workdir: Path) -> None:
    line = [*QUIET, "model=random_forest,mlp", "optimizer=adam,sgd", "epochs=1", "executor=in_process"]
    records = harness.sweep([*line, "data=iris", "batch_size=16"])
    assert [record.status for record in records] == ["completed"] * 4
    assert len({record.id for record in records}) == 3
    forest = records[0]
    assert forest.id == records[1].id
    assert (forest.choices["optimizer"], forest.config["epochs"]) == ("none", 1)
    assert "optimizer" not in forest.name
    assert [record.choices["optimizer"] for record in records][2:] == ["adam", "sgd"]


def test_estimator_id_ignores_unused_choices(workdir: Path) -> None:
    of = Preparation(over_models=True)
    lines = (["optimizer=sgd"], ["epochs=3"], ["initializer=zeros", "scheduler=cosine"], ["regularizer=[dropout]"])
    ids = {of.prepare(compose([*QUIET, "model=random_forest", *line])).record.id for line in ([], *lines)}
    assert len(ids) == 1


def test_default_initializer_is_resolved_before_the_id(workdir: Path) -> None:
    of = Preparation()
    auto, named = (of.prepare(compose([*QUIET, *line])).record for line in ([], ["initializer=he_normal"]))
    assert auto.choices["initializer"] == "he_normal"
    assert auto.id == named.id
    for model in ("logistic", "deep_linear"):  # built without blocks, initialized as usual
        assert of.prepare(compose([*QUIET, f"model={model}"])).record.choices["initializer"] == "he_normal"


def test_key_of_an_override() -> None:
    assert [key_of(text) for text in ("optimizer.lr=1", "++epochs=2", "~metric", "a@b=c")] == [
        "optimizer",
        "epochs",
        "metric",
        "a",
    ]


@pytest.mark.parametrize("model", ["random_forest", "nearest_neighbour", "logistic"])
def test_record_of_a_model_without_use_for_a_kind_is_usable(model: str) -> None:
    config = json.loads(json.dumps(Preparation().prepare(compose([f"model={model}", "data=iris"])).values))
    assert {"_component_": "none"} in config.values()
    assert usable(config) == config
