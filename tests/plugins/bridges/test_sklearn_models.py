"""Tests of the bridge to scikit-learn's estimators: against the estimators themselves, and reasons for omissions."""

import types

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import all_estimators

import harness
from harness.config.seeds import generator
from harness.datasets.dataset import Samples
from harness.registry import catalogue
from harness.registry.component import asks, mark_of, parameters, validate
from harness.registry.param_types import convert, describe
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError
from harness_sklearn import models
from harness_sklearn.reading import snake
from tests.plugins.components.helpers import make

ENTRIES = {e["name"]: e for e in catalogue.current() if e["plugin"] == "scikit-learn" and e["kind"] == "model"}
CLASSES = {"sklearn_" + snake(name): cls for name, cls in all_estimators()}
SEED = generator(3).initial_seed() % 2**32
# Small values where the default is large, and values where there is no default.
QUICK = {
    "n_estimators": 5, "max_iter": 100, "n_init": 1, "n_restarts": 1,
}  # fmt: skip


def fitted(name, train, outputs, /, **given):
    estimator = make("model", name, given, outputs=outputs, generator=generator(3))
    estimator.fit(train)
    return estimator


def table(n=60, classes=3):
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    return Samples(x, x.sum(1).argsort().argsort() % n * classes // n)


def hint(name, setting):
    return next(p.hint for p in parameters(REGISTRY.get("model", name)) if p.name == setting)


def test_every_estimator_is_bridged_or_gives_a_reason():
    out = {n.removeprefix("model/") for n in catalogue.current().absent if n.startswith("model/")}
    known = set(ENTRIES) | out
    wanted = {"sklearn_" + snake(n) for n, _ in all_estimators(["classifier", "regressor", "cluster"])}
    assert wanted <= known, wanted - known
    assert known <= set(CLASSES)
    assert not set(ENTRIES) & out
    assert {"sklearn_svc", "sklearn_gaussian_nb", "sklearn_lasso", "sklearn_k_means", "sklearn_nmf"} <= set(ENTRIES)
    reasons = catalogue.current().absent
    assert "estimators" in reasons["model/sklearn_voting_classifier"][1]
    assert "no centres" in reasons["model/sklearn_dbscan"][1]
    assert "inverse_transform" in reasons["model/sklearn_latent_dirichlet_allocation"][1]
    assert "one number for each sample" in reasons["model/sklearn_isotonic_regression"][1]


def test_bridged_estimator_is_a_regular_component():
    for name, entry in ENTRIES.items():
        component = REGISTRY.get("model", name)
        assert validate(component) == mark_of(component)
        assert getattr(models, name) is component
        first, empty, *_ = entry["doc"].splitlines()
        assert 10 < len(first) <= 120, name
        assert empty == ""
        for p in parameters(component):
            assert p.required or convert(p.hint, p.default) == p.default


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the settings are small
@pytest.mark.filterwarnings("ignore::FutureWarning:sklearn", "ignore:Orthogonal matching:RuntimeWarning")
@pytest.mark.parametrize("name", ENTRIES)
def test_estimator_fits_and_predicts_for_its_task(name):
    entry, train = ENTRIES[name], table()
    task = entry["traits"]["tasks"][0]
    own = {p["name"]: p["default"] for p in entry["parameters"]}
    settings = {k: min(v, own[k] or v) for k, v in QUICK.items() if isinstance(own.get(k), int)}
    if task == "regression":
        train = Samples(train.x, torch.stack([train.x.sum(1), train.x[:, 0]], 1))
    estimator = fitted(name, train, 2 if task == "regression" else 3, **settings)
    predicted = torch.as_tensor(estimator.predict(train.x))
    assert torch.isfinite(predicted).all()
    assert torch.equal(predicted, torch.as_tensor(estimator.predict(train.x)))
    shapes = {"classification": (60, 3), "regression": (60, 2), "reconstruction": (60, 4)}
    assert predicted.shape == shapes.get(task, (60, predicted.shape[-1]))
    if task == "classification":
        assert torch.equal(predicted.argmax(1), torch.as_tensor(estimator.model.predict(train.x.double().numpy())))


def test_predictions_are_log_probabilities_scores_or_one_logit():
    train = table()
    x = train.x.double().numpy()
    svc = CLASSES["sklearn_svc"](C=2.0, random_state=SEED).fit(x, train.y)
    estimator = fitted("sklearn_svc", train, 3, C=2.0)
    np.testing.assert_allclose(estimator.predict(train.x).numpy(), svc.decision_function(x), rtol=1e-7, atol=1e-9)
    bayes = CLASSES["sklearn_gaussian_nb"]().fit(x, train.y)
    estimator = fitted("sklearn_gaussian_nb", train, 3)
    np.testing.assert_allclose(estimator.predict(train.x).exp().numpy(), bayes.predict_proba(x), atol=1e-9)
    two = Samples(train.x, train.y.clamp_max(1))
    logits = fitted("sklearn_svc", two, 1).predict(two.x)
    reference = CLASSES["sklearn_svc"](random_state=SEED).fit(x, two.y)
    np.testing.assert_allclose(logits[:, 0].numpy(), reference.decision_function(x), rtol=1e-7, atol=1e-9)


def test_unseen_class_is_the_least_likely():
    train = table()
    seen = Samples(train.x, 2 * train.y.clamp_max(1))
    predictions = fitted("sklearn_linear_svc", seen, 3).predict(train.x)
    assert torch.isfinite(predictions).all()
    assert not (predictions.argmax(1) == 1).any()


def test_single_output_regressors_are_fitted_per_target():
    x = table().x
    y = torch.stack([x.sum(1), x[:, 0] - x[:, 1]], 1)
    predictions = fitted("sklearn_svr", Samples(x, y), 2).predict(x)
    for i in range(2):
        reference = CLASSES["sklearn_svr"]().fit(x.double().numpy(), y[:, i].double().numpy())
        np.testing.assert_allclose(
            predictions[:, i].numpy(), reference.predict(x.double().numpy()), rtol=1e-6, atol=1e-6
        )


def test_clusterers_give_squared_distances_and_decompositions_reconstructions():
    x = table().x
    reference = CLASSES["sklearn_mini_batch_k_means"](n_clusters=4, random_state=SEED).fit(x.double().numpy())
    predictions = fitted("sklearn_mini_batch_k_means", Samples(x, x), 3, n_clusters=4).predict(x)
    expected = cdist(x.double().numpy(), reference.cluster_centers_, "sqeuclidean")
    np.testing.assert_allclose(predictions.numpy(), expected, rtol=1e-9, atol=1e-9)
    left = [(fitted("sklearn_pca", Samples(x, x), 4, n_components=k).predict(x) - x).square().mean() for k in (1, 2, 4)]
    assert left[0] > left[1] > left[2]
    assert left[2] < 1e-12
    values = np.linalg.svd((x - x.mean(0)).double().numpy())[1]
    assert left[0].item() == pytest.approx((values[1:] ** 2).sum() / x.numel(), rel=1e-5)


def test_ranges_and_choices_are_scikit_learns():
    assert describe(hint("sklearn_svc", "C")) == "a number > 0"
    assert describe(hint("sklearn_decision_tree_classifier", "max_depth")) == "a whole number >= 1 or null"
    assert convert(hint("sklearn_mlp_classifier", "hidden_layer_sizes"), [8, 4]) == (8, 4)
    assert convert(hint("sklearn_random_forest_classifier", "max_features"), "log2") == "log2"
    for name, setting, value in [
        ("sklearn_svc", "C", 0.0),
        ("sklearn_svc", "gamma", "huge"),
        ("sklearn_k_neighbors_classifier", "n_neighbors", 0),
        ("sklearn_k_neighbors_classifier", "weights", "far"),
        ("sklearn_lasso", "fit_intercept", 1),
        ("sklearn_k_means", "n_clusters", 2.5),
    ]:
        with pytest.raises(ValueError, match="must"):
            convert(hint(name, setting), value)


def test_settings_that_do_not_change_the_result_are_left_out():
    names = {p["name"] for entry in ENTRIES.values() for p in entry["parameters"]}
    assert not names & {"n_jobs", "verbose", "random_state", "warm_start", "copy_X", "memory"}
    assert asks(REGISTRY.get("model", "sklearn_svr")) == ["outputs"]
    assert asks(REGISTRY.get("model", "sklearn_mlp_regressor")) == ["outputs", "generator"]


def test_data_refused_by_scikit_learn_is_one_line():
    x = table().x - 0.5
    with pytest.raises(HarnessError, match=r"^sklearn_multinomial_nb: Negative values in data"):
        fitted("sklearn_multinomial_nb", Samples(x, table().y), 3)


class WordsClassifier(ClassifierMixin, BaseEstimator):
    def __init__(self, power=2, words=None, old="deprecated"):
        self.power = power


class NeedingClassifier(ClassifierMixin, BaseEstimator):
    def __init__(self, base):
        self.base = base


def test_new_estimator_is_bridged_and_a_broken_one_left_out():
    broken = types.new_class("BrokenClassifier", (ClassifierMixin, BaseEstimator), {}, lambda ns: ns.update(__init__=3))
    bridged, out = models.bridge([WordsClassifier, NeedingClassifier, broken])
    assert list(bridged) == ["sklearn_words_classifier"]
    assert {p.name: p.default for p in parameters(bridged["sklearn_words_classifier"])} == {"power": 2}
    assert out["sklearn_needing_classifier"] == "it needs base, which is no plain data"
    assert out["sklearn_broken_classifier"].startswith("it cannot be read: ")


def test_bridged_estimator_runs_and_its_settings_are_checked(workdir):
    line = ["data=sklearn_load_wine", "model=sklearn_linear_discriminant_analysis", "study=one"]
    record = harness.run(line)
    assert (record.status, record.metrics["test/accuracy"] > 0.9) == ("completed", True)
    with pytest.raises(HarnessError, match=r"model.solver must be one of eigen, lsqr, svd, got 'fast'"):
        harness.run([*line, "model.solver=fast"])
