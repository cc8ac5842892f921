import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.noise import Noise, keys
from harness.tasks import Task
from tests.components.helpers import make

NOISE = Noise(keys(torch.tensor(0), 0))
X = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "loss", "target"),
    [("classification", F.cross_entropy, torch.arange(12) % 3), ("regression", F.mse_loss, X[:, :3].square())],
)
def test_a_task_compares_the_models_output_with_the_target(name, loss, target):
    model = nn.Linear(4, 3)
    task = make("task", name, loss=loss, dataset=None)
    assert isinstance(task, Task)
    losses = task.losses(model, (X, target), NOISE)
    assert list(losses) == ["model"]
    torch.testing.assert_close(losses["model"], loss(model(X), target))
    prediction, same = task.predict(model, (X, target))
    assert torch.equal(prediction, model(X))
    assert same is target
    both, pair = task.evaluate(model, (X, target), NOISE)
    assert torch.equal(both["model"], losses["model"])
    assert torch.equal(pair[0], prediction)


def test_a_task_trains_what_can_be_trained_in_one_group():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    task = make("task", "classification", loss=F.cross_entropy, dataset=None)
    assert task.groups(model) == {"model": ["0.weight", "1.weight", "1.bias"]}
