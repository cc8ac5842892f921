import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn import functional as F

import harness
from harness.config.composition import compose
from harness.modeling.rng.noise import Noise, keys
from harness.registry import catalogue
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data, make

NOISE = Noise(keys(torch.tensor(0), 0))
X = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


@pytest.mark.parametrize("name", ["reconstruction", "generation"])
def test_inputs_are_the_targets(name):
    iris = data("iris")
    task = make("task", name, loss=F.mse_loss, dataset=iris)
    model = nn.Linear(4, 4)
    assert task.outputs(iris) == 4
    losses = task.losses(model, (X, Y), NOISE)
    assert list(losses) == ["model"]
    torch.testing.assert_close(losses["model"], F.mse_loss(model(X), X))
    again, (prediction, target) = task.evaluate(model, (X, Y), NOISE)
    torch.testing.assert_close(again, losses)
    assert torch.equal(prediction, model(X))
    assert target is X
    assert task.predict(model, (X, Y))[1] is X


@pytest.mark.parametrize("loss", ["mae", "torch_l1"])
def test_reconstruction_takes_the_mean_absolute_error(workdir, loss):
    record = harness.run(["model=autoencoder", "data=iris", f"loss={loss}", "epochs=1", "diagnostic=[]", "logger=[]"])
    x = harness.load_data(record).val.x
    expected = float((harness.load_model(record)(x) - x).abs().mean().detach())
    assert record.metrics["val/loss"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_indices_are_not_reconstructed():
    tokens = data("toy_grammar")
    assert not tokens.real_inputs
    with pytest.raises(HarnessError, match="task reconstruction requires inputs that are real numbers"):
        make("task", "reconstruction", loss=F.mse_loss, dataset=tokens)


@pytest.mark.parametrize(
    ("overrides", "task", "loss", "objective"),
    [
        (["model=autoencoder"], "reconstruction", "mse", "val/mse"),
        (["model=autoencoder", "data=diabetes"], "reconstruction", "mse", "val/mse"),
        (["model=vae"], "generation", "elbo", "val/loss"),
        (["model=gan"], "generation", "gan", "val/loss"),
        (["model=rbm", "transform=[min_max]"], "generation", "contrastive_divergence", "val/log_likelihood"),
        (["model=mlp"], "classification", "cross_entropy", "val/accuracy"),
        (["model=mlp", "data=diabetes"], "regression", "mse", "val/mse"),
    ],
)
def test_model_chooses_its_task_and_loss(overrides, task, loss, objective, workdir):
    record = harness.run([*overrides, "epochs=1", "logger=[]"])
    assert record.status == "completed"
    assert (record.choices["task"], record.choices["loss"]) == (task, loss)
    assert record.config["objective"] == objective


def test_model_without_tasks_gets_the_task_of_the_targets(monkeypatch):
    from harness.datasets.dataset import Dataset
    from harness.execution.resolve import resolve

    known = catalogue.current()
    entry = known.get("model", "mlp")
    monkeypatch.setitem(entry, "traits", {name: value for name, value in entry["traits"].items() if name != "tasks"})
    for name, task in (("digits", "classification"), ("diabetes", "regression")):
        values = compose([f"data={name}", "model=mlp"]).values
        dataset = data(name)
        assert isinstance(dataset, Dataset)
        assert resolve(values, dataset, known)["task"]["_component_"] == task


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=vae", "loss=mse"], "loss mse does not fit task generation"),
        (["model=autoencoder", "loss=elbo"], "loss elbo does not fit task reconstruction"),
        (["model=vae", "task=classification"], "model vae does not fit task classification"),
    ],
)
def test_incompatible_components_are_refused(overrides, message, workdir):
    with pytest.raises(HarnessError, match=message):
        harness.run(overrides)


def images(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {tag.removeprefix("pictures/"): events.Images(tag) for tag in events.Tags()["images"]}


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_pictures_are_logged_to_tensorboard_at_the_end(path, workdir):
    base = ["epochs=1", f"path={path}", "model.form=convolutional"]
    record = harness.run([*base, "model=vae"])
    shown = images(record.folder)
    assert shown.keys() == {"inputs", "reconstructions", "samples", "filters"}
    for (image,) in (shown[tag] for tag in shown.keys() - {"filters"}):
        assert (image.width, image.height) == (8 * 9 - 1, 8 * 9 - 1)
        assert image.step == record.time["steps"]
    shown = images(harness.run([*base, "model=autoencoder"]).folder)
    assert shown.keys() == {"inputs", "reconstructions", "filters"}
    assert images(harness.run([*base, "model=gan"]).folder).keys() >= {"inputs", "samples"}


def test_vectors_have_no_pictures(workdir):
    assert not images(harness.run(["epochs=1", "model=vae", "data=iris"]).folder)


def test_bernoulli_mean_is_shown_instead_of_logits():
    import functools

    class Model(nn.Module):
        def forward(self, x):
            return x - 3, x[:, 0, 0], x[:, 0, 0]

        def sample(self, like):
            return like * 2

    x, model = torch.rand(4, 1, 3, 3), Model()

    def call(*given, method="forward"):
        return getattr(model, method)(*given)

    for likelihood, seen in (("gaussian", lambda t: t), ("bernoulli", torch.sigmoid)):
        loss = functools.partial(F.mse_loss, likelihood=likelihood)
        shown = make("task", "generation", loss=loss, dataset=data("digits")).pictures(call, (x, None), NOISE)
        assert torch.equal(shown["inputs"], x)
        torch.testing.assert_close(shown["samples"], seen(x * 2))
        torch.testing.assert_close(shown["reconstructions"], seen(x - 3))
