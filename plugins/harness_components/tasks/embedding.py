"""Embeddings of words: a model, a task, a loss and a metric, for pairs of words that stand near each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

import harness
from harness import Batch, Call, Dataset, HarnessError, Noise, Samples, Task
from harness.space import Integers, Uniform

TOGETHER = 1024  # analogies whose distances to all words are held at a time


class SkipGram(nn.Module):
    """Two vectors for each word: as a centre, and as a context of others."""

    frequency: Tensor

    def __init__(self, vocabulary: int, outputs: int, width: int, generator: Generator) -> None:
        super().__init__()
        self.centres, self.contexts = nn.Embedding(vocabulary, width), nn.Embedding(outputs, width)
        with torch.no_grad():
            self.centres.weight.uniform_(-0.5 / width, 0.5 / width, generator=generator)
            self.contexts.weight.zero_()
        self.register_buffer("frequency", torch.full((outputs,), 1 / outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: words [N, 1] -> their vectors as centres [N, D], those of all words as contexts [C, D], and how often
        each of these is one [C].
        """
        return self.centres(x[:, 0]), self.contexts.weight, self.frequency

    def embeddings(self) -> Tensor:
        """The vectors of all words [V, D]: as centres."""
        return self.centres.weight


@harness.model(
    tasks=("embedding",),
    input_ndim=(1,),
    skips={"traits": "its one dimension is of size 1, a word"},
    reference="Mikolov, Chen, Corrado, Dean, Efficient estimation of word representations in vector space, 2013, "
    "arXiv:1301.3781",
)
def skip_gram(
    inputs: tuple[int, ...],
    outputs: int,
    vocabulary: int | None,
    generator: Generator,
    *,
    width: Annotated[int, Integers(4, 256, log=True), Gt(0), "numbers of a word's vector, D"] = 16,
) -> nn.Module:
    """Skip-gram: a word's vector tells which words stand near it.

    The score of context o beside centre c is u_o · v_c, with a vector v for each word as a centre and u as a context;
    v is the embedding (`harness.load_model(run).embeddings()`, [V, D]). As in word2vec, v starts evenly within
    ±1 / (2 D) and u at 0, whatever the initializer. Inputs [1]: the index of a word.
    """
    if vocabulary is None or inputs != (1,):
        raise HarnessError(
            f"model skip_gram wants the index of one word as input, and a vocabulary; here inputs are {list(inputs)} "
            f"{'numbers' if vocabulary is None else 'words'}"
        )
    return SkipGram(vocabulary, outputs, width, generator)


class Embedding(Task):
    """Contexts from centres; what is measured are the words' vectors."""

    def prepare(self, model: nn.Module, dataset: Dataset) -> nn.Module:
        """With each word's share of the training contexts in the model's buffer `frequency` [C], if it has one."""
        assert isinstance(dataset.train, Samples)
        frequency = getattr(model, "frequency", None)
        if isinstance(frequency, Tensor):
            counts = torch.bincount(dataset.train.y, minlength=dataset.width)
            frequency.copy_(counts / counts.sum())
        return model

    def infer(self, call: Call, x: Tensor) -> Tensor:
        """The vectors [N, D] of words [N, 1]."""
        vectors: Tensor = call(method="embeddings")[x[:, 0]]
        return vectors

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """(the vectors of all words [V, D], contexts [N])"""
        _, y = batch
        return call(method="embeddings"), y

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """The loss of the pairs, and the words' vectors."""
        return self.losses(call, batch, noise), self.predict(call, batch)


@harness.task(targets=("class",), loss="negative_sampling", metrics=(), model="skip_gram", words=True)
def embedding(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Learns vectors of words from pairs of a word and one near it: inputs [N, 1] and targets [N] are indices.

    Which words are near is the data's to say (`data.window` of toy_grammar). The model has a method `embeddings()`,
    which returns [V, D].
    """
    if not isinstance(dataset.train, Samples):
        raise HarnessError("task embedding counts how often each word occurs, and wants data in memory")
    if dataset.words is None:
        raise HarnessError("task embedding wants inputs that are indices of words, and data that names its vocabulary")
    return Embedding(loss)


def drawn_words(frequency: Tensor, power: float, shape: Sequence[int]) -> Tensor:
    """Indices of this shape, by chance: word w with a probability in proportion to frequency[w] ** power."""
    sums = frequency.pow(power).cumsum(0)
    place = torch.rand(*shape, dtype=sums.dtype, device=sums.device) * sums[-1]
    return torch.searchsorted(sums, place, right=True).clamp_max(len(sums) - 1)


@harness.loss(
    tasks=("embedding",),
    skips={"mean": "each sample has noise words of its own"},
    reference="Mikolov, Sutskever, Chen, Corrado, Dean, Distributed representations of words and phrases and their "
    "compositionality, NeurIPS 2013, arXiv:1310.4546, eq. 4",
)
def negative_sampling(
    prediction: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
    *,
    negatives: Annotated[int, Integers(1, 20, log=True), Ge(1), "words drawn beside each true context, k"] = 5,
    power: Annotated[float, Uniform(0, 1), Ge(0), "of a word's frequency, by which it is drawn"] = 0.75,
) -> Tensor:
    """Tells a centre's true context from k words that are drawn by chance, each by a sigmoid of its score.

    L = - mean_n [ log σ(u_o · v_c) + Σ_{i=1..k} log σ(- u_{w_i} · v_c) ], w_i ~ P(w) ∝ f(w)^power, of f the share of
    the training contexts that are w. prediction: (v_c [N, D], u of all words [C, D], f [C]); target: o [N]. Its
    best scores are u_o · v_c = log(p(o | c) / P(o)) - log k (Levy, Goldberg 2014). The words are drawn anew at each
    step, and are the same at each evaluation.
    """
    centre, contexts, frequency = prediction
    words = torch.cat([target[:, None], drawn_words(frequency, power, (len(target), negatives))], dim=1)
    scores = (F.embedding(words, contexts) * centre[:, None]).sum(-1)  # [N, 1 + k]: the true one first
    return (F.softplus(-scores[:, 0]) + F.softplus(scores[:, 1:]).sum(1)).mean()


def answers(vectors: Tensor, questions: Tensor) -> Tensor:
    """The word of `vectors` [V, D] nearest to a - b + c, for questions (a, b, c) [Q, 3]: [Q]."""
    unit = F.normalize(vectors, dim=1)
    found = []
    for some in questions.split(TOGETHER):
        a, b, c = unit[some].unbind(1)
        found.append(((a - b + c) @ unit.mT).scatter(1, some, -torch.inf).argmax(1))
    return torch.cat(found)


def _first(vectors: Tensor) -> Tensor:
    return vectors[0]


class AnalogyAccuracy(Metric):
    """The share of analogies that the last vectors answer."""

    higher_is_better = True
    full_state_update = False
    vectors: Tensor

    def __init__(self, analogies: Sequence[tuple[int, int, int, int]]) -> None:
        super().__init__()
        self.analogies = torch.tensor(analogies)
        self.add_state("vectors", torch.zeros(0, 0), dist_reduce_fx=_first)  # the same in all processes

    def update(self, prediction: Tensor, target: Any) -> None:
        """prediction: the vectors of all words [V, D]."""
        self.vectors = prediction.detach().to(torch.float64, copy=True)  # they are trained on, in their place

    def compute(self) -> Tensor:
        """Of all analogies."""
        asked = self.analogies.to(self.vectors.device)
        return (answers(self.vectors, asked[:, :3]) == asked[:, 3]).double().mean()


@harness.metric(
    tasks=("embedding",),
    reference="Mikolov, Yih, Zweig, Linguistic regularities in continuous space word representations, NAACL 2013; "
    "without the question's words: Levy, Goldberg, Linguistic regularities in sparse and explicit word "
    "representations, CoNLL 2014",
)
def analogy_accuracy(analogies: Sequence[tuple[int, int, int, int]]) -> Metric:
    """Share of the data's analogies that are answered: king - man + woman = queen.

    An answer is argmax_w cos(v_w, v_a - v_b + v_c) over all words but a, b and c, with the vectors v of length 1.
    """
    if not analogies:
        raise HarnessError("metric analogy_accuracy wants data that brings analogies, and this brings none")
    return AnalogyAccuracy(analogies)
