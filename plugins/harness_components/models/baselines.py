"""Baselines that scikit-learn fits, to compare networks with.

Integer targets are classes: the prediction is then log-probabilities `[N, C]`, or one logit `[N, 1]` for one output.
Real targets `[N, D]` are predicted as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from scipy.spatial.distance import cdist
from torch import Generator, Tensor

import harness
from harness import HarnessError, Samples
from harness.space import Integers, Log

FLOOR = 1e-12  # smallest probability whose logarithm is taken: forests and neighbours predict zeros
Make = Callable[[bool], Any]  # takes True for class targets, returns an estimator of scikit-learn


def _rows(x: Tensor) -> np.ndarray:
    """Return inputs [N, ...] as rows [N, features] in float64."""
    rows: np.ndarray = x.flatten(1).double().numpy()
    return rows


class Fitted:
    """Wrap an estimator of scikit-learn as a `harness.Estimator`."""

    def __init__(self, make: Make, outputs: int) -> None:
        self.make, self.outputs = make, outputs

    def fit(self, train: Samples) -> None:
        """Fit inputs [N, ...] and targets: classes [N] or real numbers [N, D]."""
        self.classes = not train.y.is_floating_point()
        self.model = self.make(self.classes)
        y = train.y.numpy() if self.classes else train.y.double().numpy()
        self.model.fit(_rows(train.x), y[:, 0] if y.ndim > 1 and y.shape[1] == 1 else y)

    def predict(self, x: Tensor) -> Tensor:
        """Return log-probabilities [N, C], log-odds [N, 1] or real numbers [N, D]."""
        if not self.classes:
            return torch.as_tensor(self.model.predict(_rows(x))).reshape(len(x), self.outputs)
        p = np.zeros((len(x), max(2, self.outputs)))  # classes without training samples keep probability 0
        p[:, self.model.classes_] = self.model.predict_proba(_rows(x))
        log_p = torch.as_tensor(p).clamp_min(FLOOR).log()
        return log_p[:, 1:] - log_p[:, :1] if self.outputs == 1 else log_p


CLASSES = ("classification", "binary_classification")


@harness.model(
    tasks=(*CLASSES, "regression"),
    estimator=True,
    reference="Cover, Hart, Nearest neighbor pattern classification, IEEE Transactions on Information Theory 1967",
)
def nearest_neighbour(outputs: int, *, k: Annotated[int, Integers(1, 50, log=True), Gt(0), "neighbours"] = 5) -> Fitted:
    """K nearest neighbours by Euclidean distance.

        p_c = share of class c among the k nearest training samples
        ŷ = mean of their targets

    Standardize the inputs: distances depend on their scales.

    >>> x, y = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.0], [2.0], [9.0]])
    >>> model = nearest_neighbour(outputs=1, k=2)
    >>> model.fit(Samples(x, y))
    >>> model.predict(torch.tensor([[0.4]]))
    tensor([[1.]], dtype=torch.float64)
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    class Neighbours(Fitted):
        def fit(self, train: Samples) -> None:
            if k > len(train):
                raise HarnessError(f"model.k={k} is more than the {len(train)} training samples: choose a smaller k")
            super().fit(train)

    return Neighbours(lambda classes: (KNeighborsClassifier if classes else KNeighborsRegressor)(k), outputs)


@harness.model(
    tasks=(*CLASSES, "regression"), estimator=True, reference="Breiman, Random forests, Machine Learning 45, 2001"
)
def random_forest(
    outputs: int,
    generator: Generator,
    *,
    trees: Annotated[int, Integers(10, 500, log=True), Gt(0), "number of trees"] = 100,
    max_depth: Annotated[int | None, Ge(1), "largest depth of a tree; null: until the leaves are pure"] = None,
) -> Fitted:
    """Random forest: the mean of decision trees on bootstrap samples, each split the best of a few random features.

    Over the trees t:

        p_c = mean_t p_c^t(x)
        ŷ = mean_t ŷ^t(x)

    Regression considers all features at each split, as scikit-learn does.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    seed = generator.initial_seed() % 2**32

    def make(classes: bool) -> Any:
        kind = RandomForestClassifier if classes else RandomForestRegressor
        return kind(trees, max_depth=max_depth, random_state=seed)

    return Fitted(make, outputs)


@harness.model(
    tasks=("regression",),
    estimator=True,
    reference="Hoerl, Kennard, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 1970",
)
def linear_regression(
    outputs: int, *, ridge: Annotated[float, Log(1e-3, 1e3), Ge(0), "L2 penalty λ; 0: least squares"] = 0.0
) -> Fitted:
    """Linear least squares in closed form, optionally with an L2 penalty (ridge regression).

    With λ = `ridge`:

        W, b = argmin Σ_n |y_n - W x_n - b|² + λ |W|²

    Of several minimizers, the W of smallest norm.

    >>> x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[1.0], [3.0], [5.0]])
    >>> model = linear_regression(outputs=1)
    >>> model.fit(Samples(x, y))
    >>> round(float(model.predict(torch.tensor([[3.0]]))), 4)
    7.0
    """
    from sklearn.linear_model import LinearRegression, Ridge

    return Fitted(lambda classes: Ridge(ridge) if ridge else LinearRegression(), outputs)


@harness.model(
    tasks=CLASSES,
    estimator=True,
    reference="Cox, The regression analysis of binary sequences, Journal of the Royal Statistical Society B 1958",
)
def logistic_regression(
    outputs: int,
    *,
    strength: Annotated[float, Log(1e-3, 1e3), Gt(0), "C, inverse strength of the penalty"] = 1.0,
    iterations: Annotated[int, Gt(0), "largest number of L-BFGS iterations"] = 1000,
) -> Fitted:
    """Softmax regression with an L2 penalty, fitted by L-BFGS.

    With C = `strength`:

        W, b = argmin C Σ_n - log softmax(W x_n + b)[y_n] + |W|² / 2

    The model of `logistic`, trained to the optimum.
    """
    from sklearn.linear_model import LogisticRegression

    return Fitted(lambda classes: LogisticRegression(C=strength, max_iter=iterations), outputs)


class NumpyMlp:
    """A network of one hidden layer whose gradient is written out."""

    def __init__(self, outputs: int, seed: int, width: int, lr: float, epochs: int, batch: int) -> None:
        self.outputs, self.rng = outputs, np.random.default_rng(seed)
        self.width, self.lr, self.epochs, self.batch = width, lr, epochs, batch

    def fit(self, train: Samples) -> None:
        """Train on inputs [N, ...] and classes [N]."""
        x, y = _rows(train.x), np.eye(self.outputs)[train.y.numpy()]
        v = self.rng.normal(size=(x.shape[1], self.width)) * np.sqrt(2 / x.shape[1])
        w = self.rng.normal(size=(self.width, self.outputs)) * np.sqrt(2 / self.width)
        a, b = np.zeros(self.width), np.zeros(self.outputs)
        for _ in range(self.epochs):
            for rows in np.array_split(self.rng.permutation(len(x)), -(-len(x) // self.batch)):
                h = np.maximum(x[rows] @ v + a, 0)
                z = np.exp(h @ w + b - (h @ w + b).max(1, keepdims=True))
                error = (z / z.sum(1, keepdims=True) - y[rows]) / len(rows)  # dL / dz of softmax and cross-entropy
                back = (error @ w.T) * (h > 0)
                w -= self.lr * h.T @ error
                b -= self.lr * error.sum(0)
                v -= self.lr * x[rows].T @ back
                a -= self.lr * back.sum(0)
        self.weights = v, a, w, b

    def predict(self, x: Tensor) -> Tensor:
        """Return logits [N, C]."""
        v, a, w, b = self.weights
        return torch.as_tensor(np.maximum(_rows(x) @ v + a, 0) @ w + b)


@harness.model(
    tasks=("classification",),
    estimator=True,
    reference="Rumelhart, Hinton, Williams, Learning representations by back-propagating errors, Nature 1986",
)
def numpy_mlp(
    outputs: int,
    generator: Generator,
    *,
    width: Annotated[int, Integers(8, 1024, log=True), Gt(0), "hidden units"] = 32,
    lr: Annotated[float, Log(1e-3, 1), Gt(0), "learning rate"] = 0.1,
    epochs: Annotated[int, Gt(0), "passes over the training samples"] = 20,
    batch: Annotated[int, Integers(8, 256, log=True), Gt(0), "samples in a step"] = 64,
) -> NumpyMlp:
    """A network of one hidden layer in NumPy, with back-propagation written by hand.

        h = max(0, V x + a), z = W h + b
        L = - mean_n log softmax(z_n)[y_n]

    Trained by mini-batch gradient descent from He's initial weights. The run's `epochs`, `optimizer` and `batch_size`
    have no effect on it.

    >>> model = numpy_mlp(2, torch.Generator(), width=8, epochs=50, batch=2)
    >>> model.fit(Samples(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])))
    >>> model.predict(torch.tensor([[-2.0], [2.0]])).argmax(1)
    tensor([0, 1])
    """
    return NumpyMlp(outputs, generator.initial_seed(), width, lr, epochs, batch)


class Centres:
    """K-means centres; targets are ignored."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def fit(self, train: Samples) -> None:
        """Fit the centres to inputs [N, ...].

        Raises:
            HarnessError: If there are more centres than samples.
        """
        self.model = self.make()
        if self.model.n_clusters > len(train):
            raise HarnessError(
                f"model.k={self.model.n_clusters} is more than the {len(train)} training samples: choose a smaller k"
            )
        self.model.fit(_rows(train.x))

    def predict(self, x: Tensor) -> Tensor:
        """Return squared distances [N, K] to the centres."""
        return torch.as_tensor(self.model.transform(_rows(x))).square()


class NearestSamples:
    """Centres that move to the nearest sample, with the interface of scikit-learn."""

    def __init__(self, n_clusters: int, starts: int, seed: int) -> None:
        self.n_clusters, self.starts, self.seed = n_clusters, starts, seed

    def fit(self, x: np.ndarray) -> None:
        """Keep the centres of the start with the smallest sum of squared distances."""
        rng = np.random.default_rng(self.seed)
        low, high = x.min(0), x.max(0)
        found = []
        for _ in range(self.starts):
            centres = rng.uniform(low, high, (self.n_clusters, x.shape[1]))
            centres = x[cdist(centres, x).argmin(1)]  # a sample is nearest to itself: another step moves nothing
            found.append((np.square(cdist(x, centres)).min(1).sum(), centres))
        self.centres = min(found, key=lambda pair: pair[0])[1]

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return the distances [N, K] to the centres."""
        return cdist(x, self.centres)


@harness.model(
    tasks=("clustering",),
    estimator=True,
    reference="Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007",
)
def kmeans(
    outputs: int,
    generator: Generator,
    *,
    k: Annotated[int | None, Ge(1), "clusters; null: the number of classes"] = None,
    starts: Annotated[int, Gt(0), "random starts, the best of which is kept"] = 10,
    update: Annotated[
        Literal["mean", "nearest"], "move a centre to the mean of its samples, or to the nearest sample"
    ] = "mean",
) -> Centres:
    """K-means by Lloyd's algorithm from k-means++ starts.

    Repeats until nothing changes: assign each sample to its nearest centre, move each centre to the mean of its
    samples. Finds a local optimum: raise `starts` where results vary.

    update=nearest is a wrong version for demonstrations, whose centres start at random places of the data's range and
    move to the sample nearest to them: nothing moves after the first step.

    >>> x = torch.tensor([[0.0], [1.0], [8.0], [9.0]])
    >>> model = kmeans(2, torch.Generator())
    >>> model.fit(Samples(x, x))
    >>> model.predict(torch.tensor([[0.5]])).sort().values
    tensor([[ 0., 64.]], dtype=torch.float64)
    """
    from sklearn.cluster import KMeans

    seed = generator.initial_seed() % 2**32
    if update == "nearest":
        return Centres(lambda: NearestSamples(k or outputs, starts, seed))
    return Centres(lambda: KMeans(k or outputs, n_init=starts, random_state=seed))
