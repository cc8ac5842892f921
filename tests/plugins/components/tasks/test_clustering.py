import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import harness
from harness.modeling.task import Task
from tests.plugins.components.helpers import make

RNG = np.random.default_rng(0)
N = 120
TARGETS = torch.tensor(RNG.integers(0, 3, N))
CLUSTERS = torch.where(torch.tensor(RNG.random(N) < 0.7), TARGETS, torch.tensor(RNG.integers(0, 5, N)))
DISTANCES = 1 - torch.nn.functional.one_hot(CLUSTERS, 5).float() + torch.tensor(RNG.random((N, 5)) / 2).float()
METRICS = {
    "adjusted_rand": sklearn.metrics.adjusted_rand_score,
    "normalized_mutual_information": sklearn.metrics.normalized_mutual_info_score,
}


def measured(name, prediction, target, size=N):
    metric = make("metric", name)
    for p, y in zip(prediction.split(size), target.split(size), strict=True):
        metric.update(p, y)
    assert metric.higher_is_better is True
    return metric.compute().item()


@pytest.mark.parametrize("size", [N, 50, 1])
@pytest.mark.parametrize("name", METRICS)
def test_agreement_is_scikit_learns(name, size):
    expected = METRICS[name](TARGETS.numpy(), CLUSTERS.numpy())
    assert measured(name, DISTANCES, TARGETS, size) == pytest.approx(expected, abs=1e-5)
    assert 0.1 < expected < 0.9


@settings(max_examples=25, deadline=None, derandomize=True)
@given(order=st.permutations(range(5)))
def test_agreement_is_invariant_to_the_order_of_clusters(order):
    for name in METRICS:
        assert measured(name, DISTANCES[:, order], TARGETS) == pytest.approx(
            measured(name, DISTANCES, TARGETS), abs=1e-6
        )


def test_distortion_is_the_mean_squared_distance_to_the_nearest_centre():
    x, centres = RNG.normal(size=(50, 3)), RNG.normal(size=(4, 3))
    expected = np.mean([min(((row - centre) ** 2).sum() for centre in centres) for row in x])
    distances = torch.tensor(cdist(x, centres, "sqeuclidean"))
    loss = make("loss", "distortion", prediction=distances, target=torch.zeros(50, dtype=torch.int64))
    assert loss.item() == pytest.approx(expected)


def test_clustering_task_predicts_distances_and_classes():
    task = make("task", "clustering", loss=lambda p, y: p.mean())
    assert isinstance(task, Task)
    prediction, target = task.predict(lambda x: 2 * x, (DISTANCES, TARGETS))
    assert torch.equal(prediction, 2 * DISTANCES)
    assert torch.equal(target, TARGETS)


def test_kmeans_finds_separated_clusters(workdir):
    record = harness.run(["data=blobs", "data.deviation=0.1", "model=kmeans"])
    assert record.choices["task"] == "clustering"
    assert record.metrics["test/adjusted_rand"] == 1
    assert record.metrics["test/normalized_mutual_information"] == pytest.approx(1)


def test_network_is_refused_for_clustering(workdir):
    with pytest.raises(harness.HarnessError, match=r"model mlp does not fit task clustering\. Known: .*kmeans"):
        harness.run(["data=iris", "task=clustering", "model=mlp"])
