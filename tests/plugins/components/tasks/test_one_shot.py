import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import harness
from harness.config.composition import compose
from harness.config.seeds import generator
from harness.datasets.dataset import Samples
from harness.execution.preparation import make_plan
from harness.execution.resolve import resolve
from harness.modeling.rng.noise import Noise, keys
from harness.registry import catalogue
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError
from harness.training.plan import evaluation_tuples
from harness_components.models.one_shot import Prototypical, Siamese
from harness_components.tasks.one_shot import episodes, pairs, subsets
from tests.plugins.components.helpers import data, make
from tests.training.helpers import on_disk

NOISE = Noise(keys(torch.tensor(0), 0))
properties = settings(max_examples=60, deadline=None, derandomize=True)


def task(loss=F.cross_entropy, **given):
    return make("task", "one_shot", given, loss=loss)


def call_of(model):
    return lambda *x, method="forward": getattr(model, method)(*x)


@properties
@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=9), st.integers(2, 4), st.integers(1, 4), st.integers(0, 1 << 30)
)
def test_episode_has_distinct_classes_and_samples(sizes, way, each, seed):
    draw = generator(seed)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=draw)]
    usable = {c for c, size in enumerate(sizes) if size >= each}
    if len(usable) < way:
        with pytest.raises(ValueError, match=f"^{len(usable)}$"):
            episodes(y, 7, way, each, draw)
        return
    drawn = episodes(y, 7, way, each, draw)
    assert drawn.shape == (7, way, each)
    for episode in drawn:
        assert (y[episode] == y[episode][:, :1]).all()
        classes = y[episode][:, 0].tolist()
        assert len(set(classes)) == way
        assert set(classes) <= usable
        assert len(episode.unique()) == way * each


def test_subsets_are_uniform_over_ordered_choices():
    drawn = subsets(torch.full((6000,), 4), 2, generator(0))
    counts = Counter(map(tuple, drawn.tolist()))
    assert len(counts) == 4 * 3
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01
    assert subsets(torch.tensor([1, 3]), 1, generator(0)).max() < 3


@properties
@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 4))
def test_each_query_is_paired_with_its_class_and_another(way, shot, number):
    """Embeddings identify their sample: (episode, class, place)."""

    def identified(count, first):
        rows = [[[[e, c, first + i] for i in range(count)] for c in range(way)] for e in range(2)]
        return torch.tensor(rows, dtype=torch.float64)

    support, query = identified(shot, 0), identified(number, 100).flatten(1, 2)
    a, b, same = pairs(support, query)
    assert len(a) == len(b) == len(same) == 2 * 2 * way * number
    assert same.sum() * 2 == len(same)
    assert torch.equal(a[:, 0], b[:, 0])
    assert torch.equal(a[:, 1] == b[:, 1], same == 1)
    assert (a[:, 2] >= 100).all()
    assert ((b[:, 2] >= 0) & (b[:, 2] < shot)).all()
    requested = Counter((*one, int(s)) for one, s in zip(map(tuple, a.tolist()), same, strict=True))
    assert set(requested.values()) == {1}
    others = {(c, o) for c, o, s in zip(a[:, 1].tolist(), b[:, 1].tolist(), same.tolist(), strict=True) if not s}
    assert len(others) == way * min(number, way - 1)  # other classes take turns


def test_episodes_are_drawn_per_epoch_in_training_and_once_for_evaluation():
    digits, one_shot = data("digits"), task(way=3, train_way=4, shot=2, query=3, episodes=6, evaluated=9)
    assert one_shot.tuples(digits.train, "train", generator(0)).shape == (6, 4 * 5)
    assert not torch.equal(*(one_shot.tuples(digits.train, "train", generator(seed)) for seed in (0, 1)))
    val = evaluation_tuples(one_shot, digits.val, "val", 0)
    assert val.shape == (9, 3 * 5)
    other = task(REGISTRY.get("loss", "contrastive"), way=3, shot=2, query=3, evaluated=9)
    assert torch.equal(evaluation_tuples(other, digits.val, "val", 0), val)
    assert not torch.equal(evaluation_tuples(one_shot, digits.val, "val", 1), val)


def batch(made, way):
    """Return samples [E · N · (K + Q), 4] of two episodes, and in numpy [E, N, K + Q, 4]."""
    each = made.shot + made.query
    x = torch.randn(2 * way * each, 4, generator=generator(3), dtype=torch.float64)
    return (x, torch.zeros(len(x), dtype=torch.int64)), x.numpy().reshape(2, way, each, 4)


def test_loss_of_an_episode_is_that_of_its_queries():
    one_shot, model = task(way=3, train_way=4, shot=2, query=3), Prototypical(nn.Identity())
    for way, which in ((4, "losses"), (3, "evaluate")):
        given_batch, x = batch(one_shot, way)
        scores, targets = [], []
        for episode in x:
            means = episode[:, :2].mean(1)
            for c in range(way):
                for query in episode[c, 2:]:
                    scores.append([-((query - mean) ** 2).sum() for mean in means])
                    targets.append(c)
        expected = np.mean([-(s[t] - np.log(np.exp(s).sum())) for s, t in zip(np.array(scores), targets, strict=True)])
        result = getattr(one_shot, which)(call_of(model), given_batch, NOISE)
        if which == "evaluate":
            result, (scored, classes) = result
            np.testing.assert_allclose(scored.flatten(0, 1), scores, rtol=1e-7, atol=1e-12)
            assert classes.flatten().tolist() == targets
            assert all(map(torch.equal, one_shot.predict(call_of(model), given_batch), (scored, classes)))
            metric = make("metric", "episode_accuracy")
            for some in ((scored[:1], classes[:1]), (scored[1:], classes[1:])):
                metric.update(*some)
            assert metric.compute() == pytest.approx(np.mean(np.argmax(scores, 1) == targets))
        assert float(result["model"]) == pytest.approx(expected, rel=1e-9)


def test_loss_of_pairs_gets_pairs():
    one_shot = task(REGISTRY.get("loss", "contrastive"), way=3, shot=2, query=2)
    given_batch, x = batch(one_shot, 3)
    terms = []
    for episode in x:
        for c in range(3):
            for q in range(2):
                query, other = episode[c, 2 + q], (c + 1 + q) % 3
                terms.append(0.5 * np.linalg.norm(query - episode[c, q]) ** 2)
                terms.append(0.5 * max(0.0, 1.0 - np.linalg.norm(query - episode[other, q])) ** 2)
    call = call_of(Siamese(nn.Identity(), "euclidean"))
    assert float(one_shot.losses(call, given_batch, NOISE)["model"]) == pytest.approx(np.mean(terms), rel=1e-9)
    losses, (scores, _) = one_shot.evaluate(call, given_batch, NOISE)
    assert float(losses["model"]) == pytest.approx(np.mean(terms), rel=1e-9)
    assert scores.shape == (2, 6, 3)


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_contrastive_loss_matches_values_by_hand(margin):
    d, t = [0.0, 0.4, 2.0, 0.0, 0.4, 2.0], [1, 1, 1, 0, 0, 0]
    by_hand = [di**2 / 2 if ti else max(0, margin - di) ** 2 / 2 for di, ti in zip(d, t, strict=True)]
    loss = REGISTRY.get("loss", "contrastive")
    assert float(loss(torch.tensor(d), torch.tensor(t), margin=margin)) == pytest.approx(sum(by_hand) / 6)


def test_contrastive_loss_attracts_and_repels_up_to_the_margin():
    d = torch.tensor([0.4, 0.4, 1.5], requires_grad=True)
    REGISTRY.get("loss", "contrastive")(d, torch.tensor([1, 0, 0])).backward()
    torch.testing.assert_close(d.grad, torch.tensor([0.4, -0.6, 0.0]) / 3)


def test_unseen_classes_are_distinguished(workdir):
    """Chance is 1/3, and all models get the same episodes; an untrained embedding does worse."""
    line = ["experiment=one_shot", "logger=[]", "split.seed=0"]
    first = harness.run([*line, "normalization=none", "epochs=1", "optimizer=sgd", "optimizer.lr=1e-30"])
    learned = harness.run(line)
    twins = harness.run([*line, "model=siamese", "loss=contrastive", "loss.margin=5"])
    reached = [record.metrics["test/episode_accuracy"] for record in (first, learned, twins)]
    assert reached[1] > max(0.8, reached[0]), reached
    assert reached[2] > 0.7, reached
    assert learned.choices["loss"] == "cross_entropy"
    assert learned.config["objective"] == "val/episode_accuracy"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["task=one_shot", "model=mlp"], "model mlp does not fit task one_shot"),
        (["model=prototypical", "loss=contrastive"], "loss contrastive does not fit model prototypical"),
        (["model=prototypical", "data=diabetes"], "model prototypical has no task for real targets"),
        (
            ["task=one_shot", "data=iris"],
            r"task.train_way=5 requires 5 classes of .* 6 samples or more, and the train split has 3",
        ),
        (["task=one_shot", "corruption=[unseen_classes]", "task.way=3"], "the val split has 2"),
        (["task=one_shot", "task.way=11", "task.train_way=3"], "task.way=11 requires 11 classes"),
        (["task=one_shot", "augmentation=[mixup]"], "augmentation mixup changes targets"),
        (["task=one_shot", "regularizer=[label_smoothing]"], "regularizer label_smoothing changes targets"),
        (
            ["task=one_shot", "model=siamese", "model.encoder=cnn", "data=wine", "task.way=2"],
            "encoder=cnn requires images",
        ),
        (["task=one_shot", "batch_size=201"], "larger than the 200 training tuples of 30 samples"),
    ],
)
def test_incompatible_components_are_refused(line, message, workdir):
    with pytest.raises(HarnessError, match=message) as refused:
        harness.run(line)
    assert "\n" not in str(refused.value)
    assert not (workdir / "outputs").exists()


def test_data_not_in_memory_is_refused():
    dataset = on_disk(data("digits"))
    job = compose(["task=one_shot", "transform=[]"])
    with pytest.raises(HarnessError, match="task one_shot draws samples that are seen together from data in memory"):
        make_plan(job.settings, dataset, resolve(job.values, dataset, catalogue.current()))


def test_named_task_chooses_its_model_and_counts_its_samples(workdir):
    line = ["task=one_shot", "task.episodes=10", "batch_size=3", "epochs=2", "task.evaluated=3", "logger=[]"]
    record = harness.run([*line, "augmentation=[input_noise]"])
    assert record.choices["model"] == "prototypical"
    assert record.time["steps"] == 2 * math.ceil(10 / 3)
    seen = record.time["samples_per_s"] * record.time["share_s"]
    assert seen == pytest.approx(2 * 10 * 5 * 6, rel=0.01)
    embedded = harness.load_model(record)(data("digits").test.x[:4])
    assert embedded.shape == (4, 64)


def test_samples_are_in_the_order_of_their_episodes():
    """A run gets the samples that were drawn: inputs that encode their class are classified without an error."""
    y = torch.arange(60) % 6
    part = Samples(F.one_hot(y).float() * 9, y)
    one_shot = task(way=4, shot=1, query=3, evaluated=20)
    index = evaluation_tuples(one_shot, part, "test", 0).flatten()
    prediction, target = one_shot.predict(call_of(Prototypical(nn.Identity())), (part.x[index], part.y[index]))
    assert torch.equal(prediction.argmax(-1), target)
