import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestCentroid
from torch import nn

import harness
from harness.system.errors import HarnessError
from harness_components.models.one_shot import Prototypical, Siamese
from tests.plugins.components.models.helpers import WideBlock, count, model

WAY, SHOT, QUERIES, WIDTH = 4, 3, 10, 5
RNG = np.random.default_rng(0)
SUPPORT, QUERY = RNG.normal(size=(2, WAY, SHOT, WIDTH)), RNG.normal(size=(2, QUERIES, WIDTH))


def scores(made):
    return made.scores(torch.tensor(SUPPORT), torch.tensor(QUERY)).numpy()


def test_prototypes_are_the_nearest_centroids():
    result = scores(Prototypical(nn.Identity()))
    for e in range(2):
        means = SUPPORT[e].mean(1)
        np.testing.assert_allclose(result[e], -cdist(QUERY[e], means, "sqeuclidean"), rtol=1e-7, atol=1e-12)
        centroids = NearestCentroid().fit(SUPPORT[e].reshape(-1, WIDTH), np.repeat(np.arange(WAY), SHOT))
        np.testing.assert_array_equal(result[e].argmax(1), centroids.predict(QUERY[e]))


@pytest.mark.parametrize(("distance", "known_as"), [("euclidean", "euclidean"), ("manhattan", "cityblock")])
def test_siamese_scores_are_mean_distances(distance, known_as):
    net = Siamese(nn.Identity(), distance)
    result = scores(net)
    for e in range(2):
        apart = cdist(QUERY[e], SUPPORT[e].reshape(-1, WIDTH), known_as).reshape(QUERIES, WAY, SHOT)
        np.testing.assert_allclose(result[e], -apart.mean(2), rtol=1e-7, atol=1e-12)
    a, b = torch.tensor(QUERY[0]), torch.tensor(QUERY[1])
    np.testing.assert_allclose(net.distances(a, b), np.diag(cdist(QUERY[0], QUERY[1], known_as)), rtol=1e-7, atol=1e-12)


def test_distance_of_equal_points_has_zero_gradient():
    a = torch.ones(2, 3, requires_grad=True)
    for distance in ("euclidean", "manhattan"):
        (slope,) = torch.autograd.grad(Siamese(nn.Identity(), distance).distances(a, torch.ones(2, 3)).sum(), a)
        assert torch.equal(slope, torch.zeros(2, 3))


@pytest.mark.parametrize("name", ["prototypical", "siamese"])
@pytest.mark.parametrize(
    ("inputs", "settings", "numbers"),
    [
        ((6,), {"width": 7, "depth": 1}, 6 * 7 + 7 + 7 * 5 + 5),
        ((1, 8, 8), {"depth": 0}, 64 * 5 + 5),
        ((2, 8, 8), {"encoder": "cnn", "channels": (3,)}, 2 * 3 * 9 + 3 + 3 * 16 * 5 + 5),
    ],
)
def test_encoder_is_an_mlp_or_a_cnn(name, inputs, settings, numbers):
    net = model(name, inputs, settings={"code": 5, **settings})
    assert count(net) == numbers
    x = torch.randn(3, *inputs)
    assert net(x).shape == (3, 5)
    torch.testing.assert_close(net(x)[1:], net(x[1:]))


def test_hidden_layers_are_blocks():
    block = WideBlock()
    model("siamese", (6,), settings={"width": 7, "depth": 2}, made=block)
    assert block.seen == [(7, 0), (7, 0)]
    block = WideBlock()
    model("prototypical", (1, 8, 8), settings={"encoder": "cnn", "channels": (3, 4)}, made=block)
    assert block.seen == [(3, 2), (4, 2)]


def test_cnn_encoder_needs_images():
    with pytest.raises(
        HarnessError, match=r"model.encoder=cnn requires images \[C, H, W\], and samples have shape \(6,\)"
    ):
        model("prototypical", (6,), settings={"encoder": "cnn"})


def test_identity_encoder_has_no_parameters_and_classifies_by_raw_distances(workdir):
    net = model("prototypical", (2, 3), None, {"encoder": "identity"})
    x = torch.arange(12.0).reshape(2, 2, 3)
    assert torch.equal(net(x), x.flatten(1))
    assert not list(net.parameters())
    line = ["data=iris", "task=one_shot", "task.way=3", "model=prototypical", "model.encoder=identity", "epochs=1"]
    record = harness.run([*line, "split.on_overlap=ignore"])
    assert record.status == "completed", record.error
    assert record.metrics["test/episode_accuracy"] > 0.5
