"""Word embeddings: model, task, loss and metric for pairs of neighbouring words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

import harness
from harness import Batch, Call, Dataset, HarnessError, Noise, Samples, Task, suggest
from harness.space import Integers, Uniform

Word = Annotated[str, "a word of the vocabulary"]
CHUNK = 1024  # analogies whose similarities to all words are in memory at a time


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
        """Map words [N, 1] to (their centre vectors [N, D], all context vectors [C, D], context frequencies [C])."""
        return self.centres(x[:, 0]), self.contexts.weight, self.frequency

    def embeddings(self) -> Tensor:
        """Return the vectors of all words as centres, [V, D]."""
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
    width: Annotated[int, Integers(4, 256, log=True), Gt(0), "size D of a word's vector"] = 16,
) -> nn.Module:
    """Skip-gram: word vectors that predict neighbouring words.

    With a vector v for each word as a centre and u as a context:

        score(o | c) = u_o · v_c

    v is the embedding: `harness.load_model(run).embeddings()`, `[V, D]`. As in word2vec, v starts uniform in ±1 / (2 D)
    and u at 0, whatever the initializer. Inputs `[N, 1]` are word indices.

    >>> model = skip_gram((1,), 20, 20, torch.Generator(), width=4)
    >>> model.embeddings().shape
    torch.Size([20, 4])
    """
    if vocabulary is None or inputs != (1,):
        raise HarnessError(
            "model skip_gram requires the index of one word as input, and a vocabulary: choose data=toy_grammar and "
            f"transform=[]; inputs here are {list(inputs)} {'numbers' if vocabulary is None else 'words'}"
        )
    return SkipGram(vocabulary, outputs, width, generator)


class Embedding(Task):
    """Predict contexts from centres; the metrics measure the word vectors."""

    def prepare(self, model: nn.Module, dataset: Dataset) -> nn.Module:
        """Store each word's share of the training contexts in the model's buffer `frequency` [C], if it has one."""
        assert isinstance(dataset.train, Samples)
        frequency = getattr(model, "frequency", None)
        if isinstance(frequency, Tensor):
            counts = torch.bincount(dataset.train.y, minlength=dataset.width)
            frequency.copy_(counts / counts.sum())
        return model

    def infer(self, call: Call, x: Tensor) -> Tensor:
        """Return the vectors [N, D] of words [N, 1]."""
        vectors: Tensor = call(method="embeddings")[x[:, 0]]
        return vectors

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the vectors of all words [V, D], and contexts [N]."""
        _, y = batch
        return call(method="embeddings"), y

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Return the loss of the pairs, and the word vectors."""
        return self.losses(call, batch, noise), self.predict(call, batch)


@harness.task(targets=("class",), loss="negative_sampling", metrics=(), model="skip_gram", words=True)
def embedding(loss: Callable[..., Any], dataset: Dataset) -> Task:
    """Learn word vectors from pairs of neighbouring words: inputs `[N, 1]` and targets `[N]` are word indices.

    The data defines which words are neighbours (`data.window` of toy_grammar). The model needs a method `embeddings()`
    that returns `[V, D]`.
    """
    if not isinstance(dataset.train, Samples):
        raise HarnessError("task embedding counts words, which requires data in memory: set data.in_memory=true")
    if dataset.words is None:
        raise HarnessError(
            "task embedding requires inputs that are indices of words, and data with a vocabulary: choose "
            "data=toy_grammar and transform=[]"
        )
    return Embedding(loss)


def drawn_words(frequency: Tensor, power: float, shape: Sequence[int]) -> Tensor:
    """Draw word indices of this shape with probabilities proportional to frequency ** power."""
    sums = frequency.pow(power).cumsum(0)
    quantiles = torch.rand(*shape, dtype=sums.dtype, device=sums.device) * sums[-1]
    return torch.searchsorted(sums, quantiles, right=True).clamp_max(len(sums) - 1)


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
    negatives: Annotated[int, Integers(1, 20, log=True), Ge(1), "noise words k for each true context"] = 5,
    power: Annotated[float, Uniform(0, 1), Ge(0), "exponent α of the frequency in the noise distribution"] = 0.75,
) -> Tensor:
    """Negative sampling: tell the true context from k random words, each by the sigmoid of its score.

    With σ the logistic function, k = `negatives`, α = `power` and f the frequencies of words as contexts in training:

        L = - mean_n [ log σ(u_o · v_c) + Σ_{i=1..k} log σ(- u_{w_i} · v_c) ],  w_i ~ P(w) ∝ f(w)^α

    The optimum is u_o · v_c = log(p(o | c) / P(o)) - log k (Levy, Goldberg 2014). The random words are drawn anew at
    each training step, and are the same at each evaluation.

    Args:
        prediction: (v_c `[N, D]`, u of all words `[C, D]`, f `[C]`).
        target: contexts o, `[N]`.
    """
    centre, contexts, frequency = prediction
    words = torch.cat([target[:, None], drawn_words(frequency, power, (len(target), negatives))], dim=1)
    scores = (F.embedding(words, contexts) * centre[:, None]).sum(-1)  # [N, 1 + k], the true context first
    return (F.softplus(-scores[:, 0]) + F.softplus(scores[:, 1:]).sum(1)).mean()


@harness.metric(
    tasks=("embedding",),
    higher_is_better=True,
    reference="Schultz, Joachims, Learning a distance metric from relative comparisons, NIPS 2003",
)
def similarity(
    model: nn.Module, dataset: Dataset, *, word: Word = "man", near: Word = "woman", far: Word = "car"
) -> float:
    """Relative similarity: how much nearer a word is to a second word than to a third one, from -2 to 2.

    With the word vectors v:

        cos(v_word, v_near) - cos(v_word, v_far)
    """
    vectors = F.normalize(model.embeddings().double(), dim=1)  # type: ignore[operator]  # of any module
    places = []
    for key, chosen in (("word", word), ("near", near), ("far", far)):
        if chosen not in dataset.vocabulary:
            raise HarnessError(
                f"metric.similarity.{key}={chosen} is not in the vocabulary.{suggest(chosen, dataset.vocabulary)}"
            )
        places.append(dataset.vocabulary.index(chosen))
    of_word, of_near, of_far = vectors[places]
    return float(of_word @ (of_near - of_far))


def answers(vectors: Tensor, questions: Tensor) -> Tensor:
    """Return the word of `vectors` [V, D] nearest to a - b + c, [Q], for questions (a, b, c) [Q, 3]."""
    unit = F.normalize(vectors, dim=1)
    nearest = []
    for chunk in questions.split(CHUNK):
        a, b, c = unit[chunk].unbind(1)
        nearest.append(((a - b + c) @ unit.mT).scatter(1, chunk, -torch.inf).argmax(1))
    return torch.cat(nearest)


def _first(vectors: Tensor) -> Tensor:
    return vectors[0]


class AnalogyAccuracy(Metric):
    """Share of analogies that the last vectors solve."""

    higher_is_better = True
    full_state_update = False
    vectors: Tensor

    def __init__(self, analogies: Sequence[tuple[int, int, int, int]]) -> None:
        super().__init__()
        self.analogies = torch.tensor(analogies)
        self.add_state("vectors", torch.zeros(0, 0), dist_reduce_fx=_first)  # the same in all processes

    def update(self, prediction: Tensor, target: Any) -> None:
        """Replace the vectors of all words, [V, D]."""
        self.vectors = prediction.detach().to(torch.float64, copy=True)  # copied: training updates them in place

    def compute(self) -> Tensor:
        """Return the share of all analogies."""
        analogies = self.analogies.to(self.vectors.device)
        right = answers(self.vectors, analogies[:, :3]) == analogies[:, 3]
        return right.double().sum() / len(right)


@harness.metric(
    tasks=("embedding",),
    reference="Mikolov, Yih, Zweig, Linguistic regularities in continuous space word representations, NAACL 2013; "
    "without the question's words: Levy, Goldberg, Linguistic regularities in sparse and explicit word "
    "representations, CoNLL 2014",
)
def analogy_accuracy(analogies: Sequence[tuple[int, int, int, int]]) -> Metric:
    """Share of the data's analogies that the word vectors solve: king - man + woman = queen.

    With vectors v of length 1, over all words w but a, b and c:

        answer = argmax_w cos(v_w, v_a - v_b + v_c)

    >>> vectors = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, -1.0], [1.0, -1.0]])
    >>> metric = analogy_accuracy([(0, 1, 2, 3)])  # 0 - 1 + 2 = 3
    >>> metric.update(vectors, None)
    >>> metric.compute()
    tensor(1., dtype=torch.float64)
    """
    if not analogies:
        raise HarnessError("metric analogy_accuracy requires data with analogies: choose data=toy_grammar")
    return AnalogyAccuracy(analogies)
