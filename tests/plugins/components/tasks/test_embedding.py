import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cosine
from scipy.special import log_expit

import harness
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.errors import HarnessError
from harness.training.vectorized.metric import StackedMetric
from harness_components.data.synthetic.grammar import WORDS
from tests.plugins.components.helpers import data, make
from tests.training.helpers import on_disk

FREQUENCY = torch.tensor([0.5, 0.3, 0.0, 0.15, 0.05], dtype=torch.float64)


def noise():
    return Noise(keys(torch.tensor(3), 7))


def skip_gram(vocabulary=7, outputs=5, width=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    offers = {"inputs": (1,), "outputs": outputs, "vocabulary": vocabulary, "generator": draw}
    return make("model", "skip_gram", {"width": width}, **offers)


def sampled(prediction, target, **given):
    with Redirect(noise()):
        return make("loss", "negative_sampling", given, prediction=prediction, target=target)


def test_skip_gram_returns_the_centre_and_all_contexts():
    net = skip_gram()
    x = torch.tensor([[2], [6], [2]])
    centre, contexts, frequency = net(x)
    assert torch.equal(centre, net.embeddings()[x[:, 0]])
    assert (net.embeddings().shape, contexts.shape) == ((7, 3), (5, 3))
    torch.testing.assert_close(frequency, torch.full((5,), 0.2))
    assert contexts.count_nonzero() == 0
    assert 0 < net.embeddings().abs().max() <= 0.5 / 3
    assert torch.equal(net.embeddings(), skip_gram().embeddings())
    assert not torch.equal(net.embeddings(), skip_gram(seed=1).embeddings())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(n=st.integers(1, 9), k=st.integers(1, 6), power=st.floats(0, 2), seed=st.integers(0, 99))
def test_negative_sampling_matches_the_papers_formula(n, k, power, seed):
    rng = np.random.default_rng(seed)
    v, u, f = rng.normal(size=(n, 4)), rng.normal(size=(6, 4)), rng.dirichlet(np.ones(6))
    o = rng.integers(0, 6, n)
    result = sampled(tuple(map(torch.tensor, (v, u, f))), torch.tensor(o), negatives=k, power=power)
    sums = np.cumsum(f**power)
    drawn = np.searchsorted(sums, noise().uniform((n, k), torch.float64).numpy() * sums[-1], side="right")
    expected = 0.0
    for i in range(n):
        expected -= log_expit(u[o[i]] @ v[i])
        expected -= sum(log_expit(-u[w] @ v[i]) for w in drawn[i])
    assert result.item() == pytest.approx(expected / n, rel=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
def test_negatives_are_drawn_by_frequency_to_the_power(power):
    from harness_components.tasks.embedding import drawn_words

    with Redirect(noise()):
        drawn = drawn_words(FREQUENCY, power, (4000, 5))
    assert drawn.shape == (4000, 5)
    counts, p = np.bincount(drawn.flatten(), minlength=5), FREQUENCY.numpy() ** power
    kept = p > 0
    assert counts[~kept].sum() == 0
    assert scipy.stats.chisquare(counts[kept], 20_000 * p[kept] / p.sum()).pvalue > 1e-3


def test_optimal_scores_are_pointwise_mutual_information_minus_log_k():
    """The gradient is zero there: Levy and Goldberg, Neural word embedding, NeurIPS 2014, eq. 7."""
    together = np.array([[6, 2, 2], [1, 4, 5], [3, 3, 4]])  # of each centre and context, among 30 pairs
    pairs, k, n = together / 30, 50, 200
    drawn_by = pairs.sum(0) ** 0.75
    best = np.log(pairs / pairs.sum(1)[:, None] / (drawn_by / drawn_by.sum())) - np.log(k)
    centre, context = (
        torch.tensor(i).repeat(n) for i in np.repeat(np.indices((3, 3)).reshape(2, -1), together.flat, axis=1)
    )
    for shift, least in ((0.0, 0.0), (0.5, 0.02)):
        scores = torch.tensor(best + shift, requires_grad=True)  # with unit vectors as centres, which are not trained
        loss = sampled((torch.eye(3).double()[centre], scores.T, torch.tensor(pairs.sum(0))), context, negatives=k)
        (slope,) = torch.autograd.grad(loss, scores)
        assert (least < slope).all() if shift else (slope.abs() < 0.004).all()


def by_hand(vectors, analogies):
    metric = make("metric", "analogy_accuracy", analogies=analogies)
    metric.update(torch.tensor(vectors), None)
    return metric.compute().item()


def test_analogy_accuracy_matches_values_by_hand():
    # e2 - e1 + e3 = (-1, 1, 1): nearest to word 3, whatever its length, then to word 4
    vectors = [[1.0, 0, 0], [0, 2.0, 0], [0, 0, 0.5], [-5.0, 5, 5], [0, 1.0, 1]]
    assert by_hand(vectors, ((1, 0, 2, 3),)) == 1
    assert by_hand(vectors, ((1, 0, 2, 4),)) == 0
    assert by_hand(vectors, ((1, 0, 2, 3), (1, 0, 2, 4), (1, 0, 2, 3), (1, 0, 2, 3))) == 0.75
    # (0, 1) - (1, 0) + (0.8, 0.6) = (-0.2, 1.6) is nearest to the question's own (0, 1), which is excluded
    assert by_hand([[0.0, 1], [1, 0], [0.8, 0.6], [-1, 1], [-1, 0]], ((0, 1, 2, 3),)) == 1


@settings(max_examples=20, deadline=None, derandomize=True)
@given(words=st.integers(4, 12), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_analogy_answer_is_the_nearest_word_by_cosine(words, width, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(words, width)) * rng.lognormal(size=(words, 1))
    requested = [tuple(int(i) for i in rng.choice(words, 4, replace=False)) for _ in range(10)]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    right = 0
    for a, b, c, d in requested:
        point = unit[a] - unit[b] + unit[c]
        away = {w: cosine(vectors[w], point) for w in range(words) if w not in (a, b, c)}
        right += away[d] <= min(away.values()) + 1e-12
    ties = width == 1  # on a line there are two angles: any nearest word is an answer
    result = by_hand(vectors, tuple(requested))
    assert result <= right / 10 + 1e-12 if ties else result == pytest.approx(right / 10)


def test_stacked_analogy_accuracy_equals_that_of_each_member():
    vectors = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0))
    requested = tuple((a, (a + 1) % 9, (a + 2) % 9, (a + s) % 9) for a in range(9) for s in range(3, 9))
    stacked = StackedMetric(lambda: make("metric", "analogy_accuracy", analogies=requested), 3, torch.device("cpu"))
    for _ in range(2):
        stacked.update(vectors, torch.zeros(3, 5))
    assert stacked.vectorized
    assert stacked.compute() == [by_hand(v.tolist(), requested) for v in vectors]


def test_metric_keeps_a_copy_of_the_vectors():
    vectors = torch.eye(4).double()
    metric = make("metric", "analogy_accuracy", analogies=((0, 1, 2, 3),))
    metric.update(vectors, None)
    kept = metric.vectors.clone()
    vectors.zero_()
    assert torch.equal(metric.vectors, kept)


def task(dataset):
    return make("task", "embedding", loss=None, dataset=dataset)


def test_model_stores_the_frequency_of_contexts_in_training():
    dataset = data("toy_grammar", {"n": 200})
    model = task(dataset).prepare(skip_gram(len(WORDS), len(WORDS)), dataset)
    counts = np.bincount(dataset.train.y.numpy(), minlength=len(WORDS))
    np.testing.assert_allclose(model.frequency, counts / len(dataset.train), rtol=1e-6, atol=1e-8)
    assert "frequency" in model.state_dict()


def test_data_without_word_pairs_is_refused():
    with pytest.raises(HarnessError, match="task embedding requires inputs that are indices of words"):
        task(data("iris"))
    with pytest.raises(HarnessError, match="requires data in memory"):
        task(on_disk(data("toy_grammar", {"n": 50})))
    with pytest.raises(HarnessError, match=r"inputs here are \[4\] numbers"):
        make("model", "skip_gram", inputs=(4,), outputs=3, vocabulary=None, generator=torch.Generator())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=skip_gram"], "model skip_gram wants samples of 1 dimensions"),
        (["model=skip_gram", "data=iris"], "task embedding requires inputs that are indices of words"),
        (
            ["model=skip_gram", "data=toy_grammar", "transform=[one_hot]"],
            "task embedding requires inputs that are indices",
        ),
        (
            ["model=skip_gram", "data=toy_grammar", "loss=cross_entropy"],
            "loss cross_entropy does not fit task embedding",
        ),
        (["model=mlp", "data=toy_grammar", "task=embedding"], "model mlp does not fit task embedding"),
        (["data=digits", "metric=[analogy_accuracy]"], "metric analogy_accuracy does not fit task classification"),
    ],
)
def test_incompatible_components_are_refused_without_output(overrides, message, workdir):
    with pytest.raises(HarnessError, match=message):
        harness.run(overrides)
    assert not list(workdir.iterdir())


def test_analogy_accuracy_needs_analogies():
    with pytest.raises(HarnessError, match="requires data with analogies"):
        make("metric", "analogy_accuracy", analogies=())


def test_trained_skip_gram_solves_king_minus_man_plus_woman(workdir):
    record = harness.run(["experiment=skip_gram", "logger=[]"])
    assert record.status == "completed"
    assert record.metrics["test/analogy_accuracy"] >= 0.95
    model = harness.load_model(record)
    with torch.no_grad():
        vectors = dict(zip(WORDS, model.embeddings().numpy(), strict=True))
    unit = {word: v / np.linalg.norm(v) for word, v in vectors.items()}
    point = unit["king"] - unit["man"] + unit["woman"]
    others = [word for word in WORDS if word not in ("king", "man", "woman")]
    assert min(others, key=lambda word: cosine(unit[word], point)) == "queen"


class Vectors(torch.nn.Module):
    def __init__(self, vectors):
        super().__init__()
        self.vectors = torch.as_tensor(vectors)

    def embeddings(self):
        return self.vectors


def test_similarity_compares_two_cosines():
    dataset, rng = data("toy_grammar"), np.random.default_rng(0)
    vectors = rng.normal(size=(len(WORDS), 5))
    at = [WORDS.index(word) for word in ("king", "queen", "road")]
    words = {"word": "king", "near": "queen", "far": "road"}
    value = make("metric", "similarity", words, model=Vectors(vectors), dataset=dataset)
    king, queen, road = vectors[at]
    assert value == pytest.approx(cosine(king, road) - cosine(king, queen), rel=1e-6)
    with pytest.raises(HarnessError, match=r"metric.similarity.far=queem is not in the vocabulary.*queen"):
        make("metric", "similarity", words | {"far": "queem"}, model=Vectors(vectors), dataset=dataset)
