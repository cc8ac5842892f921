"""Clustering: samples go to the nearest of some centres, and classes serve to judge the groups alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.clustering import AdjustedRandScore, NormalizedMutualInfoScore

import harness
from harness import Task


@harness.task(
    targets=("class",),
    loss="distortion",
    metrics=("adjusted_rand", "normalized_mutual_information"),
    model="kmeans",
)
def clustering(loss: Callable[..., Any]) -> Task:
    """Groups samples without their classes: predictions are squared distances to the centres, [N, K]."""
    return Task(loss)


@harness.loss(
    tasks=("clustering",), reference="Bishop, Pattern recognition and machine learning, 2006, eq. 9.1 (over N)"
)
def distortion(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance to the nearest centre.

    J = mean_n min_k |x_n - μ_k|². prediction: squared distances [N, K]; target: not looked at.
    """
    return prediction.amin(1).mean()


def _unchecked() -> AbstractContextManager[None]:
    """Says what torchmetrics, which counts in a sparse tensor, leaves open, and torch warns of."""
    return torch.sparse.check_sparse_tensor_invariants(enable=False)


class _AdjustedRand(AdjustedRandScore):
    higher_is_better = True  # type: ignore[assignment]  # torchmetrics leaves it open

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """prediction: squared distances [N, K], of which the least says the cluster; target: classes [N]."""
        super().update(prediction.argmin(1), target)

    def compute(self) -> Tensor:
        """Agreement of all that was seen."""
        with _unchecked():
            return super().compute()


class _MutualInformation(NormalizedMutualInfoScore):
    higher_is_better = True  # torchmetrics leaves it open

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """prediction: squared distances [N, K], of which the least says the cluster; target: classes [N]."""
        super().update(prediction.argmin(1), target)

    def compute(self) -> Tensor:
        """Agreement of all that was seen."""
        with _unchecked():
            return super().compute()


@harness.metric(
    tasks=("clustering",),
    reference="Hubert, Arabie, Comparing partitions, Journal of Classification 1985",
    cases=(([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [0, 1, 0, 1], -0.5),),
)
def adjusted_rand() -> Metric:
    """Agreement of clusters and classes over pairs of samples: 1 for the same groups, 0 on average for chance."""
    return _AdjustedRand()


@harness.metric(
    tasks=("clustering",),
    reference="Vinh, Epps, Bailey, JMLR 11, 2010",
    cases=(([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [0, 1, 0, 1], 0.0),),
)
def normalized_mutual_information() -> Metric:
    """Mutual information of clusters and classes over the mean of their entropies: 0 .. 1."""
    return _MutualInformation()
