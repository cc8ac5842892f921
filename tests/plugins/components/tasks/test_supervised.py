import pytest
import torch
from torch import nn
from torch.nn import functional as F

import harness
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.task import Task
from tests.plugins.components.helpers import data, make

NOISE = Noise(keys(torch.tensor(0), 0))
X = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "loss", "target"),
    [
        ("classification", F.cross_entropy, torch.arange(12) % 3),
        ("regression", F.mse_loss, X[:, :3].square()),
        ("multilabel", F.binary_cross_entropy_with_logits, (X[:, :3] > 0).float()),
    ],
)
def test_task_compares_the_models_output_with_the_target(name, loss, target):
    model = nn.Linear(4, 3)
    settings = {"standardize": False} if name == "regression" else {}
    task = make("task", name, settings, loss=loss, dataset=None)
    assert isinstance(task, Task)
    losses = task.losses(model, (X, target), NOISE)
    assert list(losses) == ["model"]
    torch.testing.assert_close(losses["model"], loss(model(X), target))
    prediction, same = task.predict(model, (X, target))
    assert torch.equal(prediction, model(X))
    assert torch.equal(same, target.to(same.dtype))  # unscaled real targets are compared in float64
    both, pair = task.evaluate(model, (X, target), NOISE)
    torch.testing.assert_close(both["model"].to(losses["model"].dtype), losses["model"], rtol=1e-6, atol=1e-7)
    assert torch.equal(pair[0], prediction)


def test_task_trains_all_trainable_parameters_in_one_group():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    task = make("task", "classification", loss=F.cross_entropy, dataset=None)
    assert task.groups(model) == {"model": ["0.weight", "1.weight", "1.bias"]}


def test_binary_task_compares_one_logit_with_the_second_class():
    model = nn.Linear(4, 1)
    task = make("task", "binary_classification", loss=F.binary_cross_entropy_with_logits)
    assert task.outputs(data("moons")) == 1
    y = torch.arange(12) % 2
    both = torch.stack([1 - y, y], 1) * 0.8 + 0.1  # as smoothing and mixing make them
    for target, wanted in ((y, y.float()), (both, both[:, 1])):
        expected = F.binary_cross_entropy_with_logits(model(X)[:, 0], wanted)
        torch.testing.assert_close(task.losses(model, (X, target), NOISE)["model"], expected)
        losses, (prediction, truth) = task.evaluate(model, (X, target), NOISE)
        torch.testing.assert_close(losses["model"], expected)
        assert torch.equal(prediction, model(X))
        assert torch.equal(truth, wanted[:, None])


@pytest.mark.parametrize(
    ("line", "task"),
    [
        (["data=moons"], "classification"),
        (["data=moons", "model=logistic_regression"], "classification"),
        (["data=topics"], "multilabel"),
        (["data=diabetes"], "regression"),
        (["data=moons", "model=kmeans"], "clustering"),
    ],
)
def test_auto_task_is_the_models_first_or_the_default_for_the_targets(workdir, line, task):
    from harness.config.composition import compose
    from harness.execution.preparation import prepare

    assert prepare(compose(line)).record.choices["task"] == task


def test_model_without_tasks_gets_the_default_task(workdir, monkeypatch):
    from harness.config.composition import compose
    from harness.datasets.loading import load
    from harness.execution.resolve import choices, resolve
    from harness.registry import catalogue

    known = catalogue.current()
    get = known.get

    def silent(kind, name):
        entry = get(kind, name)
        return entry | {"traits": {}} if (kind, name) == ("model", "mlp") else entry

    monkeypatch.setattr(known, "get", silent)
    values = compose(["data=moons"]).values
    assert known.names("task")[0] != "classification"
    assert choices(resolve(values, load(values).dataset, known))["task"] == "classification"


def test_binary_task_needs_two_classes(workdir):
    with pytest.raises(
        harness.HarnessError, match=r"^task binary_classification wants 2 classes, and data digits has 10$"
    ):
        harness.run(["data=digits", "task=binary_classification"])


@pytest.mark.parametrize(
    ("line", "metric", "least"),
    [
        (["data=moons", "task=binary_classification", "metric=[binary_f1,binary_auroc]"], "binary_auroc", 0.95),
        (["data=topics", "metric=[label_f1,exact_match]"], "binary_accuracy", 0.7),
    ],
)
def test_binary_and_multilabel_tasks_are_learned(workdir, line, metric, least):
    record = harness.run([*line, "epochs=5", "optimizer.lr=0.01"])
    assert record.status == "completed", record.error
    assert record.metrics[f"test/{metric}"] > least
    outputs = {"moons": 1, "topics": 5}[record.data["name"]]
    assert harness.load_model(record).head.out_features == outputs
