import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, mean_squared_error

import harness
from harness.config.seeds import generator
from harness.datasets.dataset import Samples
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data, make

DRAWN = generator(3)
SEED = DRAWN.initial_seed() % 2**32


def fitted(name, train, outputs, /, **sets):
    estimator = make("model", name, sets, outputs=outputs, generator=DRAWN)
    estimator.fit(train)
    return estimator


def arrays(dataset, split):
    part = dataset.part(split)
    return part.x.flatten(1).double().numpy(), part.y.numpy()


def same_probabilities(made, reference, dataset):
    x, y = arrays(dataset, "train")
    reference.fit(x, y)
    at, _ = arrays(dataset, "test")
    logits = made.predict(dataset.test.x)
    np.testing.assert_allclose(logits.softmax(1).numpy(), reference.predict_proba(at), atol=1e-9)


def test_random_forest_is_scikit_learns_with_the_runs_seed():
    wine, diabetes = data("wine"), data("diabetes")
    estimator = fitted("random_forest", wine.train, 3, trees=17, max_depth=3)
    same_probabilities(estimator, RandomForestClassifier(17, max_depth=3, random_state=SEED), wine)
    x, y = arrays(diabetes, "train")
    reference = RandomForestRegressor(11, random_state=SEED).fit(x, y[:, 0].astype(float))
    estimator = fitted("random_forest", diabetes.train, 1, trees=11)
    np.testing.assert_allclose(
        estimator.predict(diabetes.test.x)[:, 0].numpy(),
        reference.predict(arrays(diabetes, "test")[0]),
        rtol=1e-7,
        atol=1e-9,
    )


def test_logistic_regression_is_scikit_learns_with_one_logit_for_two_classes():
    iris, cancer = data("iris"), data("breast_cancer")
    estimator = fitted("logistic_regression", iris.train, 3, strength=0.3)
    same_probabilities(estimator, LogisticRegression(C=0.3, max_iter=1000), iris)
    scaled = cancer.mapped(lambda x: (x - cancer.train.x.mean(0)) / cancer.train.x.std(0))
    estimator = fitted("logistic_regression", scaled.train, 1)
    reference = LogisticRegression(max_iter=1000).fit(*arrays(scaled, "train"))
    expected = reference.decision_function(arrays(scaled, "test")[0]).clip(-20, 20)
    np.testing.assert_allclose(
        estimator.predict(scaled.test.x)[:, 0].numpy().clip(-20, 20), expected, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("k", [1, 4])
def test_nearest_neighbours_match_a_distance_search(k):
    iris, diabetes = data("iris"), data("diabetes")
    for dataset, outputs in ((iris, 3), (diabetes, 1)):
        (x, y), (at, _) = arrays(dataset, "train"), arrays(dataset, "test")
        nearest = cdist(at, x).argsort(1, kind="stable")[:, :k]
        result = fitted("nearest_neighbour", dataset.train, outputs, k=k).predict(dataset.test.x)
        if outputs == 1:
            np.testing.assert_allclose(result.numpy(), y[nearest].mean(1), rtol=1e-6, atol=1e-6)
        else:
            shares = np.eye(3)[y[nearest]].mean(1)
            same = np.abs(result.exp().numpy() - shares).max(1) < 1e-9
            assert same.mean() > 0.95  # ties of distance may be broken in another order


@pytest.mark.parametrize("ridge", [0.0, 7.5])
def test_linear_regression_solves_the_normal_equations(ridge):
    dataset = data("diabetes")
    (x, y), (at, _) = arrays(dataset, "train"), arrays(dataset, "test")
    centred = x - x.mean(0)
    y = y.astype(float)
    w = np.linalg.solve(centred.T @ centred + ridge * np.eye(x.shape[1]), centred.T @ (y - y.mean(0)))
    result = fitted("linear_regression", dataset.train, 1, ridge=ridge).predict(dataset.test.x)
    np.testing.assert_allclose(result.numpy(), (at - x.mean(0)) @ w + y.mean(0), rtol=1e-8, atol=1e-8)


def test_kmeans_gives_squared_distances_to_scikit_learns_centres():
    dataset = data("iris")
    x, _ = arrays(dataset, "train")
    for sets, k in (({}, 3), ({"k": 5, "starts": 2}, 5)):
        reference = KMeans(k, n_init=sets.get("starts", 10), random_state=SEED).fit(x)
        result = fitted("kmeans", dataset.train, 3, **sets).predict(dataset.test.x)
        expected = cdist(arrays(dataset, "test")[0], reference.cluster_centers_, "sqeuclidean")
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-9)
        inertia = fitted("kmeans", dataset.train, 3, **sets).predict(dataset.train.x).amin(1).sum().item()
        assert inertia == pytest.approx(reference.inertia_)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(classes=st.integers(2, 6), missing=st.integers(0, 5), n=st.integers(8, 30))
def test_unseen_class_is_improbable_and_finite(classes, missing, n):
    y = torch.arange(n) % classes
    y[y == missing % classes] = (missing + 1) % classes
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    result = fitted("nearest_neighbour", Samples(x, y), classes, k=3).predict(x)
    assert result.shape == (n, classes)
    assert torch.isfinite(result).all()
    assert (result.argmax(1) != missing % classes).all()


@pytest.mark.parametrize("name", ["nearest_neighbour", "kmeans"])
def test_k_above_the_number_of_samples_is_refused(name):
    few = Samples(torch.eye(4), torch.arange(4) % 2)
    with pytest.raises(HarnessError, match=r"^model.k=9 is more than the 4 training samples"):
        fitted(name, few, 2, k=9)


RUNS = {
    "a forest": (["data=wine", "model=random_forest"], "test/accuracy", accuracy_score),
    "two classes": (
        ["data=breast_cancer", "task=binary_classification", "model=nearest_neighbour"],
        "test/binary_accuracy",
        accuracy_score,
    ),
    "a line": (["data=diabetes", "model=linear_regression"], "test/mse", mean_squared_error),
}


@pytest.mark.parametrize("case", RUNS)
def test_run_matches_scikit_learn_on_the_same_splits(workdir, case):
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    from harness.config import seeds

    line, metric, score = RUNS[case]
    record = harness.run(line)
    assert record.status == "completed", record.error
    seed = seeds.generator(0, "model").initial_seed() % 2**32
    reference = {
        "a forest": RandomForestClassifier(100, random_state=seed),
        "two classes": KNeighborsClassifier(5),
        "a line": LinearRegression(),
    }[case]
    dataset = data(line[0].removeprefix("data="))
    (x, y), (at, wanted) = arrays(dataset, "train"), arrays(dataset, "test")
    scaler = StandardScaler().fit(x)
    reference.fit(scaler.transform(x).astype(np.float32), y)
    expected = score(wanted, reference.predict(scaler.transform(at).astype(np.float32)))
    assert record.metrics[metric] == pytest.approx(expected, rel=1e-4)


def test_centres_that_move_to_the_nearest_sample_are_samples():
    dataset = data("iris")
    x, _ = arrays(dataset, "train")
    made = fitted("kmeans", dataset.train, 3, update="nearest", starts=4)
    centres = made.model.centres
    assert centres.shape == (3, x.shape[1])
    assert (cdist(centres, x).min(1) == 0).all()
    at = arrays(dataset, "test")[0]
    expected = cdist(at, centres, "sqeuclidean")
    np.testing.assert_allclose(made.predict(dataset.test.x).numpy(), expected, rtol=1e-9, atol=1e-9)
    mean = fitted("kmeans", dataset.train, 3).predict(dataset.train.x).amin(1).mean()
    assert made.predict(dataset.train.x).amin(1).mean() > 1.1 * mean


def test_numpy_mlp_takes_the_step_of_automatic_differentiation():
    wine = data("wine")
    x, y = arrays(wine, "train")
    x = x / x.max(0)
    made = fitted("numpy_mlp", Samples(torch.tensor(x), torch.tensor(y)), 3, width=8, epochs=1, batch=1000, lr=0.5)
    rng = np.random.default_rng(DRAWN.initial_seed())
    v, w = rng.normal(size=(13, 8)) * np.sqrt(2 / 13), rng.normal(size=(8, 3)) * np.sqrt(2 / 8)
    start = [torch.tensor(t, requires_grad=True) for t in (v, np.zeros(8), w, np.zeros(3))]
    logits = torch.relu(torch.tensor(x) @ start[0] + start[1]) @ start[2] + start[3]
    slopes = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, torch.tensor(y)), start)
    for weights, before, slope in zip(made.weights, start, slopes, strict=True):
        expected = (before - 0.5 * slope).detach().numpy()
        np.testing.assert_allclose(weights, expected, rtol=1e-10, atol=1e-12)


def test_numpy_mlp_is_short():
    import inspect

    from harness_components.models.baselines import NumpyMlp

    assert len(inspect.getsource(NumpyMlp.fit).splitlines()) <= 20
