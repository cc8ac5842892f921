"""Tests of metrics of a whole run, against values computed by hand, and through commands."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

import harness
from harness.cli import main
from tests.plugins.components.helpers import data, make
from tests.training.helpers import on_disk

LOSSES = [{"val/loss": v, "val/accuracy": a} for v, a in ((0.9, 0.2), (0.5, 0.7), (0.6, 0.6), (0.3, 0.9))]


@pytest.mark.parametrize(
    ("watch", "target", "expected"),
    [
        ("val/loss", 0.5, 2),  # equal to the target is enough
        ("val/loss", 0.49, 4),  # even if it was lost again in between
        ("val/loss", 1.0, 1),  # the first epoch is 1
        ("val/loss", 0.1, math.inf),  # not reached
        ("val/accuracy", 0.65, 2),
        ("val/accuracy", 0.95, math.inf),
    ],
)
def test_epochs_to_target(watch, target, expected):
    settings = {"watch": watch, "target": target}
    directions = {"val/loss": False, "val/accuracy": True}
    offers = {"directions": directions, "history": LOSSES}
    assert make("metric", "epochs_to_target", settings, **offers) == expected
    sparse = [{}, *LOSSES[1:]]  # as if validated every second epoch
    assert make("metric", "epochs_to_target", settings, **offers | {"history": sparse}) == max(2, expected)
    assert make("metric", "epochs_to_target", settings, **offers | {"history": []}) == math.inf


class Making(nn.Module):
    """A model that returns given samples."""

    def __init__(self, made):
        super().__init__()
        self.made = torch.as_tensor(made, dtype=torch.float32)

    def sample(self, like):
        return self.made[: len(like)].view(-1, *like.shape[1:])


def judged(made, dataset, **settings):
    offers = {"model": Making(made), "dataset": dataset}
    return [
        make("metric", f"mode_{what}", {"samples": len(made), **settings}, **offers) for what in ("coverage", "quality")
    ]


def ring(modes, angle, radius=1.0):
    """Return the centres of a ring mixture, or points beside them."""
    at = 2 * math.pi * np.arange(modes) / modes + angle
    return radius * np.stack([np.cos(at), np.sin(at)], 1)


def test_mode_coverage_and_quality_match_hand_made_samples():
    dataset = data("ring_mixture", {"modes": 8, "deviation": 0.05, "n": 4000})
    centres = ring(8, 0.0)
    assert judged(centres, dataset) == [1.0, 1.0]
    assert judged(centres[[0, 0, 0, 3]], dataset) == [2 / 8, 1.0]  # two modes, and nothing else
    beside = ring(8, math.pi / 8)  # between the modes: 2 sin(π/16) = 0.39, and 3 · 0.05 is less than half of it
    assert judged(np.concatenate([centres[:2], beside[:6]]), dataset) == [2 / 8, 2 / 8]
    assert judged(beside, dataset, deviations=9.0)[1] == 1.0
    assert judged(0 * centres, dataset) == [0.0, 0.0]  # all at the mean, which is no mode


def test_samples_of_the_mixture_have_its_known_quality_in_any_units():
    dataset = data("ring_mixture", {"modes": 4, "n": 10_000}, val=0.45, test=0.0)
    drawn = dataset.val.x
    _, good = judged(drawn, dataset)
    assert good == pytest.approx(1 - math.exp(-4.5), abs=0.005)  # Rayleigh's distribution at 3
    train = dataset.train.x.double().numpy()
    means = np.stack([train[dataset.train.y.numpy() == k].mean(0) for k in range(4)])
    deviation = (train - means[dataset.train.y.numpy()]).std(0)
    distance = np.linalg.norm((drawn.double().numpy()[:, None] - means) / deviation, axis=-1)
    assert good == np.mean(distance.min(1) <= 3)
    scaled = dataset.mapped(lambda x: x * torch.tensor([100.0, 0.01]) + 5)
    assert judged(scaled.val.x, scaled) == judged(drawn, dataset)


def test_point_modes_and_data_not_in_memory_are_measured():
    dataset = data("ring_mixture", {"modes": 4, "deviation": 0.0})
    assert judged(dataset.train.x[:8], dataset) == [1.0, 1.0]
    assert judged(dataset.train.x[:8] + 0.01, dataset) == [0.0, 0.0]
    whole = data("ring_mixture")
    away = on_disk(whole).mapped(lambda x: 3 * x)
    assert judged(ring(8, 0.0, 3.0), away) == [1.0, 1.0] == judged(ring(8, 0.0), whole)


RING = ["model=gan", "data=ring_mixture", "data.n=200", "model.width=8", "logger=[]", "epochs=3",
        "metric=[mode_coverage,mode_quality,epochs_to_target]", "metric.epochs_to_target.target=1.5",
        "metric.epochs_to_target.watch=train/loss", "metric.mode_quality.deviations=9"]  # fmt: skip
ONCE = ("mode_coverage", "mode_quality", "epochs_to_target")


def test_run_metrics_agree_alone_fused_and_resumed(workdir):
    alone, *others = (
        harness.run([*RING, f"study={study}", *case])
        for study, case in {
            "alone": ["path=alone"], "resumed": ["path=alone", "checkpoint_every=1"], "fused": ["path=fused"],
        }.items()
    )  # fmt: skip
    together = harness.sweep([*RING, "study=together", "path=fused", "seed=0,1", "executor=in_process"])[0]
    assert 0 < alone.metrics["mode_quality"] < 1
    for other in (*others, together):
        assert other.status == "completed"
        assert [other.metrics[name] for name in ONCE] == [alone.metrics[name] for name in ONCE]
        assert other.best["mode_quality"]["higher_is_better"]
        assert not other.best["epochs_to_target"]["higher_is_better"]
    rows = [line for line in (alone.folder / "curves.csv").read_text().splitlines() if "mode_coverage" in line]
    assert len(rows) == 1


def test_record_with_the_requested_run_metric_is_cached(workdir):
    first = ["epochs=2", "model=mlp", "model.width=4", "logger=[]"]
    requested = [*first, "metric=[epochs_to_target]", "metric.epochs_to_target.target=0.2"]
    assert not harness.run(first).cached
    record = harness.run(requested)
    assert (record.cached, record.metrics["epochs_to_target"]) == (False, math.inf)
    again = harness.run([*requested, "objective=epochs_to_target"])
    assert (again.cached, again.objective) == (True, math.inf)
    assert '"epochs_to_target": "inf"' in (record.folder / "record.json").read_text()
    assert harness.run(first).cached
    assert not harness.run([*requested[:-1], "metric.epochs_to_target.target=0.3"]).cached  # another target


def test_diverged_run_is_measured_by_its_history_only(workdir):
    line = ["optimizer=sgd", "optimizer.lr=1e9", "epochs=2", "logger=[]"]
    record = harness.run([*line, "metric=[epochs_to_target]", "metric.epochs_to_target.target=0.1"])
    assert (record.status, record.metrics["epochs_to_target"]) == ("diverged", math.inf)
    ring = ["model=gan", "data=ring_mixture", "metric=[mode_coverage]"]
    record = harness.run([*line, *ring])
    assert record.status == "diverged"
    assert "mode_coverage" not in record.metrics


def test_mse_is_measured_while_bce_is_trained(workdir, capsys):
    lines = {
        "classes": ["loss=bce", "metric=[mse,brier]"],
        "binary": ["task=binary_classification", "data=breast_cancer", "loss=bce", "metric=[mse]"],
    }
    for study, line in lines.items():
        with pytest.raises(SystemExit) as ended:
            main([*line, f"study={study}", "epochs=2", "model=mlp", "model.width=8", "logger=[]", "save=none"])
        assert ended.value.code == 0
        assert "mse 0." in capsys.readouterr().out
    record = harness.load("classes")[0]
    assert record.metrics["test/mse"] == pytest.approx(record.metrics["test/brier"] / 10, rel=1e-5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["metric=[epochs_to_target]"], "target must be given"),
        (["metric=[epochs_to_target]", "metric.epochs_to_target.target=1", "metric.epochs_to_target.watch=val/acuracy"],
         "'val/acuracy', which is not measured. Did you mean 'val/accuracy'"),
        (["metric=[epochs_to_target]", "metric.epochs_to_target.target=1", "objective=epochs_to_target", "save=best"],
         "save=best needs"),
        (["metric=[epochs_to_target]", "metric.epochs_to_target.target=1", "objective=val/epochs_to_target"],
         "objective 'val/epochs_to_target' is not measured"),
        (["model=gan", "metric=[mode_coverage]"], "wants samples of 1 dimensions"),
        (["model=gan", "data=diabetes", "metric=[mode_coverage]"], "wants class targets"),
        (["metric=[mode_quality]"], "does not fit task classification"),
        (["model=rbm", "transform=[standardize]"], "choose transform=auto, or 'transform=[]'"),
    ],
)  # fmt: skip
def test_mistake_is_one_line_and_writes_nothing(workdir, line, message):
    with pytest.raises(harness.HarnessError) as refused:
        harness.run(line)
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not any(workdir.iterdir())


@pytest.mark.parametrize(
    ("task", "model"), [("clustering", "kmeans"), ("reconstruction", "autoencoder"), ("generation", "vae")]
)
def test_task_alone_chooses_a_model(workdir, task, model):
    record = harness.run([f"task={task}", "epochs=1", "logger=[]", "save=none"])
    assert (record.status, record.choices["model"]) == ("completed", model)


def test_mse_of_a_classifier_is_that_of_its_probabilities():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    inputs = torch.tensor(z), torch.tensor(y)
    metric = make("metric", "mse", task="classification")
    metric.update(*inputs)
    assert float(metric.compute()) == pytest.approx(np.mean((p - np.eye(4)[y]) ** 2), rel=1e-6)
    metric = make("metric", "mse", task="multilabel")
    labels = rng.integers(0, 2, (50, 4)).astype(float)
    metric.update(inputs[0], torch.tensor(labels))
    assert float(metric.compute()) == pytest.approx(np.mean((1 / (1 + np.exp(-z)) - labels) ** 2), rel=1e-6)


class Shift(nn.Module):
    """Encode as the first two features, and decode by adding a shift."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def encode(self, x):
        return x

    def decode(self, z):
        return z + self.by


def test_decoded_distance_is_relative_to_that_of_the_test_samples():
    dataset = data("moons")
    train, test = dataset.train.x.double().numpy(), dataset.test.x.double().numpy()
    apart = cdist(test, train).min(1).mean()
    for by in (0.0, 3.0):
        value = make("metric", "decoded_distance", {"radius": 0.0}, model=Shift(by), dataset=dataset)
        assert value == pytest.approx(cdist(test + by, train).min(1).mean() / apart, rel=1e-4)
    near, far = (
        make("metric", "decoded_distance", {"radius": radius}, model=Shift(0.0), dataset=dataset) for radius in (0.5, 3)
    )
    assert 1 < near < far
