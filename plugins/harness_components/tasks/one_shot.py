"""Few-shot classification: task, loss and metric for episodes of few classes with few known samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor
from torchmetrics import Metric

import harness
from harness import Batch, Call, HarnessError, Noise, Part, Samples, Task, component
from harness.space import Choice, Integers, Log
from harness_components.metrics.sums import Sums


def subsets(counts: Tensor, size: int, generator: Generator) -> Tensor:
    """Draw `size` different numbers of 0 .. n - 1 in random order for each n of `counts`, by Floyd's algorithm.

    Args:
        counts: numbers n, at least `size` each, [...].
        size: size of a subset.
        generator: source of the draws.

    Returns:
        Subsets [..., size]; every ordered subset is equally likely.
    """
    shape = (*counts.shape, size)
    chosen = torch.full(shape, -1)
    for place in range(size):
        top = counts - size + place
        drawn = (torch.rand(counts.shape, generator=generator, dtype=torch.float64) * (top + 1)).long()
        taken = (chosen == drawn[..., None]).any(-1)
        chosen[..., place] = torch.where(taken, top, drawn)
    order = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(-1)
    return chosen.gather(-1, order)


def episodes(y: Tensor, count: int, way: int, each: int, generator: Generator) -> Tensor:
    """Draw episodes: `way` different classes each, and `each` samples of a class.

    Args:
        y: classes, [N].
        count: number of episodes.
        way: classes of an episode.
        each: samples of a class.
        generator: source of the draws.

    Returns:
        Indices into y, [count, way, each].

    Raises:
        ValueError: With the number of classes that have so many samples, if it is below `way`.
    """
    sizes = y.bincount()
    usable = (sizes >= each).nonzero()[:, 0]
    if len(usable) < way:
        raise ValueError(len(usable))
    classes = usable[subsets(torch.full((count,), len(usable)), way, generator)]
    first = sizes.cumsum(0) - sizes  # index of the first sample of each class, sorted by class
    return y.argsort(stable=True)[first[classes][..., None] + subsets(sizes[classes], each, generator)]


def pairs(support: Tensor, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pair each query with one support sample of its class and one of another class.

    Args:
        support: embeddings [E, N, K, D]; classes and samples are in random order.
        query: embeddings [E, N · Q, D].

    Returns:
        (a [P, D], b [P, D], 1 for pairs of one class and else 0 [P]).
    """
    _, way, shot, _ = support.shape
    number = query.shape[1] // way
    place = torch.arange(query.shape[1], device=query.device)
    label, turn = place // number, place % number
    other = (label + 1 + turn % (way - 1)) % way
    flat = support.flatten(1, 2)
    same_class, other_class = (flat.index_select(1, c * shot + turn % shot) for c in (label, other))
    a, b = torch.cat([query, query], 1).flatten(0, 1), torch.cat([same_class, other_class], 1).flatten(0, 1)
    same = torch.cat([torch.ones_like(query[..., 0]), torch.zeros_like(query[..., 0])], 1).flatten()
    return a, b, same


class OneShot(Task):
    """Episodes for a model that embeds samples: of each class `shot` samples are known, and `query` are classified."""

    def __init__(
        self, loss: Callable[..., Any], way: int, train_way: int, shot: int, query: int, count: int, evaluated: int
    ) -> None:
        super().__init__(loss)
        self.way, self.train_way, self.shot, self.query = way, train_way, shot, query
        self.count, self.evaluated = count, evaluated
        mark = component.mark_of(getattr(loss, "func", loss))
        self.of_pairs = isinstance(mark, component.Mark) and bool(mark.traits.get("pairs"))

    def tuples(self, part: Part, split: str, generator: Generator) -> Tensor:
        """Return the samples of each episode, class by class."""
        assert isinstance(part, Samples)
        train = split == "train"
        count, way, name = (self.count, self.train_way, "train_way") if train else (self.evaluated, self.way, "way")
        each = self.shot + self.query
        try:
            return episodes(part.y, count, way, each, generator).flatten(1)
        except ValueError as error:
            raise HarnessError(
                f"task.{name}={way} requires {way} classes of task.shot + task.query = {each} samples or more, and the "
                f"{split} split has {error}"
            ) from error

    def _embedded(self, call: Call, x: Tensor, way: int) -> tuple[Tensor, Tensor]:
        """Return support [E, N, K, D] and query [E, N · Q, D] embeddings of samples x [E · N · (K + Q), ...]."""
        z = call(x).unflatten(0, (-1, way, self.shot + self.query))
        return z[:, :, : self.shot], z[:, :, self.shot :].flatten(1, 2)

    def _targets(self, scores: Tensor) -> Tensor:
        """Return the class of each query [E, N · Q], as its index in the episode."""
        places = torch.arange(scores.shape[1], device=scores.device) // self.query
        return places.expand(scores.shape[:2])

    def _loss(self, call: Call, support: Tensor, query: Tensor, scores: Tensor | None) -> Tensor:
        if self.of_pairs:
            a, b, same = pairs(support, query)
            return self.loss(call(a, b, method="distances"), same)
        if scores is None:
            scores = call(support, query, method="scores")
        return self.loss(scores.flatten(0, 1), self._targets(scores).flatten())

    def infer(self, call: Call, x: Tensor) -> None:
        """Infer nothing: a sample has a class only among those of its episode."""

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the loss of the queries' scores, or of pairs of queries and support samples for a loss of pairs."""
        support, query = self._embedded(call, batch[0], self.train_way)
        return {"model": self._loss(call, support, query, None)}

    def predict(self, call: Call, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the scores [E, N · Q, N] of each query, and its class [E, N · Q]."""
        scores = call(*self._embedded(call, batch[0], self.way), method="scores")
        return scores, self._targets(scores)

    def evaluate(self, call: Call, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], tuple[Any, Any]]:
        """Return loss, scores and classes from one embedding of the samples."""
        support, query = self._embedded(call, batch[0], self.way)
        scores = call(support, query, method="scores")
        return {"model": self._loss(call, support, query, scores)}, (scores, self._targets(scores))


@harness.task(
    targets=("class",), loss="cross_entropy", metrics=("episode_accuracy",), model="prototypical", tuples=True
)
def one_shot(
    loss: Callable[..., Any],
    *,
    way: Annotated[int, Integers(2, 20), Ge(2), "classes N of an episode"] = 5,
    shot: Annotated[int, Choice(1, 5), Gt(0), "known samples K of each class"] = 1,
    query: Annotated[int, Integers(1, 15), Gt(0), "samples of each class to be classified"] = 5,
    train_way: Annotated[int | None, Ge(2), "classes of a training episode; null: as `way`"] = None,
    episodes: Annotated[
        int, Integers(50, 2000, log=True), Gt(0), "training episodes in an epoch; batch_size counts episodes"
    ] = 200,
    evaluated: Annotated[int, Gt(0), "episodes for validation and for test, the same for all runs of a split"] = 200,
) -> Task:
    """N-way K-shot classification: in each episode K samples of N classes are known, and others are classified by them.

    The classes and samples of an episode are drawn at random; a model embeds them and scores each query for each class.
    A loss of pairs (`contrastive`) gets each query's distances from a known sample of its class and from one of
    another. Each split has its own episodes: with corruption=[unseen_classes] the test uses classes never trained on.
    """
    return OneShot(loss, way, train_way or way, shot, query, episodes, evaluated)


@harness.loss(
    tasks=("one_shot",),
    pairs=True,
    reference="Hadsell, Chopra, LeCun, Dimensionality reduction by learning an invariant mapping, CVPR 2006, eq. 4",
)
def contrastive(
    prediction: Tensor,
    target: Tensor,
    *,
    margin: Annotated[float, Log(0.1, 10), Gt(0), "distance beyond which different samples add no loss"] = 1.0,
) -> Tensor:
    """Contrastive loss: pulls pairs of one class together, and pushes others apart up to a margin.

        L = mean_p ½ [ t d² + (1 - t) max(0, margin - d)² ]

    Args:
        prediction: distances d, `[P]`.
        target: t, `[P]`: 1 for pairs of one class, else 0.

    >>> contrastive(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    tensor(0.1250)
    """
    violation = (margin - prediction).clamp_min(0)
    return 0.5 * (target * prediction.square() + (1 - target) * violation.square()).mean()


class EpisodeAccuracy(Sums):
    """Share of the queries that are classified correctly."""

    higher_is_better = True
    right: Tensor

    def __init__(self) -> None:
        super().__init__(right=())

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add scores [E, Q, N] and classes [E, Q], as indices in the episode."""
        self.add(target.numel(), right=(prediction.argmax(-1) == target).sum())

    def compute(self) -> Tensor:
        """Return the share over all episodes."""
        return self.right / self.count


@harness.metric(tasks=("one_shot",), reference="Vinyals et al., Matching networks for one shot learning, NeurIPS 2016")
def episode_accuracy() -> Metric:
    """Share of the queries with the highest score for their own class of the episode; 1 / way is chance.

    >>> scores = torch.tensor([[[2.0, 1.0], [0.5, 1.0]]])  # one episode, two queries, two classes
    >>> episode_accuracy()(scores, torch.tensor([[0, 0]]))
    tensor(0.5000, dtype=torch.float64)
    """
    return EpisodeAccuracy()
