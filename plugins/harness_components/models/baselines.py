"""Baselines that scikit-learn fits at once: what a network has to beat.

They read what they learn from the targets: whole numbers are classes, and then the prediction is the logarithm of
probabilities [N, C] (or one logit [N, 1] where one output is asked for); real numbers [N, D] are predicted as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor

import harness
from harness import HarnessError, Samples
from harness.space import Integers, Log

FLOOR = 1e-12  # of a probability whose logarithm is taken: a forest's or a neighbour's may be 0
Make = Callable[[bool], Any]  # (classes or real numbers): an estimator of scikit-learn


def _rows(x: Tensor) -> np.ndarray:
    """[N, ...] -> [N, features] in float64."""
    found: np.ndarray = x.flatten(1).double().numpy()
    return found


class Fitted:
    """An estimator of scikit-learn behind the face of `harness.Estimator`."""

    def __init__(self, make: Make, outputs: int) -> None:
        self.make, self.outputs = make, outputs

    def fit(self, train: Samples) -> None:
        """x: [N, ...]; y: classes [N] or real numbers [N, D]."""
        self.classes = not train.y.is_floating_point()
        self.model = self.make(self.classes)
        y = train.y.numpy() if self.classes else train.y.double().numpy()
        self.model.fit(_rows(train.x), y[:, 0] if y.ndim > 1 and y.shape[1] == 1 else y)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities [N, C], log-odds [N, 1] or real numbers [N, D]."""
        if not self.classes:
            return torch.as_tensor(self.model.predict(_rows(x))).reshape(len(x), self.outputs)
        p = np.zeros((len(x), max(2, self.outputs)))  # a class that training never saw has probability 0
        p[:, self.model.classes_] = self.model.predict_proba(_rows(x))
        log_p = torch.as_tensor(p).clamp_min(FLOOR).log()
        return log_p[:, 1:] - log_p[:, :1] if self.outputs == 1 else log_p


CLASSES = ("classification", "binary_classification")


@harness.model(
    tasks=(*CLASSES, "regression"),
    estimator=True,
    reference="Cover, Hart, Nearest neighbor pattern classification, IEEE Transactions on Information Theory 1967",
)
def nearest_neighbour(
    outputs: int, *, k: Annotated[int, Integers(1, 50, log=True), Gt(0), "neighbours that are asked"] = 5
) -> Fitted:
    """The k nearest training samples decide, by Euclidean distance.

    p_c = the share of class c among them, or ŷ = the mean of their targets.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    class Neighbours(Fitted):
        def fit(self, train: Samples) -> None:
            if k > len(train):
                raise HarnessError(f"model.k={k} is more than the {len(train)} training samples")
            super().fit(train)

    return Neighbours(lambda classes: (KNeighborsClassifier if classes else KNeighborsRegressor)(k), outputs)


@harness.model(
    tasks=(*CLASSES, "regression"), estimator=True, reference="Breiman, Random forests, Machine Learning 45, 2001"
)
def random_forest(
    outputs: int,
    generator: Generator,
    *,
    trees: Annotated[int, Integers(10, 500, log=True), Gt(0), "trees whose votes are averaged"] = 100,
    max_depth: Annotated[int | None, Ge(1), "splits from root to leaf at most; null: until leaves are pure"] = None,
) -> Fitted:
    """Trees on bootstrap samples, each split the best of a random few features (all, for real targets), averaged.

    p_c = mean_t p_c^t(x), or ŷ = mean_t ŷ^t(x), over the trees t.
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
    outputs: int, *, ridge: Annotated[float, Log(1e-3, 1e3), Ge(0), "weight λ of |W|²; 0: least squares"] = 0.0
) -> Fitted:
    """Least squares in closed form, with a ridge where asked.

    W, b = argmin Σ_n |y_n - W x_n - b|² + λ |W|²; of many, the W of the smallest norm.
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
    strength: Annotated[float, Log(1e-3, 1e3), Gt(0), "C, the weight of the samples against the penalty's"] = 1.0,
    iterations: Annotated[int, Gt(0), "of L-BFGS at most"] = 1000,
) -> Fitted:
    """Softmax regression with an L2 penalty, solved by L-BFGS.

    W, b = argmin C Σ_n - log softmax(W x_n + b)[y_n] + |W|² / 2.
    """
    from sklearn.linear_model import LogisticRegression

    return Fitted(lambda classes: LogisticRegression(C=strength, max_iter=iterations), outputs)


class Centres:
    """The centres of k-means; targets are not looked at."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def fit(self, train: Samples) -> None:
        """x: [N, ...]."""
        self.model = self.make()
        if self.model.n_clusters > len(train):
            raise HarnessError(f"model.k={self.model.n_clusters} is more than the {len(train)} training samples")
        self.model.fit(_rows(train.x))

    def predict(self, x: Tensor) -> Tensor:
        """Squared distances [N, K] to the centres."""
        return torch.as_tensor(self.model.transform(_rows(x))).square()


@harness.model(
    tasks=("clustering",),
    estimator=True,
    reference="Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007",
)
def kmeans(
    outputs: int,
    generator: Generator,
    *,
    k: Annotated[int | None, Ge(1), "centres; null: as many as there are classes"] = None,
    starts: Annotated[int, Gt(0), "draws of the first centres, the best of which is kept"] = 10,
) -> Centres:
    """K-means by Lloyd's algorithm from k-means++ starts.

    Each sample goes to its nearest centre, each centre to the mean of its samples, until nothing moves.
    """
    from sklearn.cluster import KMeans

    seed = generator.initial_seed() % 2**32
    return Centres(lambda: KMeans(k or outputs, n_init=starts, random_state=seed))
