"""Clustering: task, loss and metrics; classes serve to evaluate the clusters alone."""

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
    """Group samples without using their classes; the metrics compare the groups with the classes.

    Predictions are squared distances to the centres, `[N, K]`.
    """
    return Task(loss)


@harness.loss(
    tasks=("clustering",), reference="Bishop, Pattern recognition and machine learning, 2006, eq. 9.1 (over N)"
)
def distortion(prediction: Tensor, target: Tensor) -> Tensor:
    """Distortion: mean squared distance to the nearest centre.

        J = mean_n min_k |x_n - μ_k|²

    Args:
        prediction: squared distances, `[N, K]`.
        target: ignored.

    >>> distortion(torch.tensor([[1.0, 4.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.5000)
    """
    return prediction.amin(1).mean()


def _sparse_unchecked() -> AbstractContextManager[None]:
    """Set explicitly that sparse tensors are not checked: torchmetrics leaves it open, which torch warns of."""
    return torch.sparse.check_sparse_tensor_invariants(enable=False)


class _AdjustedRand(AdjustedRandScore):
    higher_is_better = True  # type: ignore[assignment]  # torchmetrics has None

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add squared distances [N, K], whose smallest gives the cluster, and classes [N]."""
        super().update(prediction.argmin(1), target)

    def compute(self) -> Tensor:
        """Return the agreement over all samples."""
        with _sparse_unchecked():
            return super().compute()


class _MutualInformation(NormalizedMutualInfoScore):
    higher_is_better = True  # torchmetrics has None

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add squared distances [N, K], whose smallest gives the cluster, and classes [N]."""
        super().update(prediction.argmin(1), target)

    def compute(self) -> Tensor:
        """Return the agreement over all samples."""
        with _sparse_unchecked():
            return super().compute()


@harness.metric(
    tasks=("clustering",),
    reference="Hubert, Arabie, Comparing partitions, Journal of Classification 1985",
    cases=(([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [0, 1, 0, 1], -0.5),),
)
def adjusted_rand() -> Metric:
    """Adjusted Rand index: agreement of clusters and classes over pairs of samples; 1 if equal, about 0 by chance.

    >>> distances = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    >>> adjusted_rand()(distances, torch.tensor([1, 1, 0, 0]))
    tensor(1.)
    """
    return _AdjustedRand()


@harness.metric(
    tasks=("clustering",),
    reference="Vinh, Epps, Bailey, JMLR 11, 2010",
    cases=(([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [0, 1, 0, 1], 0.0),),
)
def normalized_mutual_information() -> Metric:
    """Normalized mutual information of clusters and classes, in [0, 1].

    Mutual information over the mean of both entropies. Unlike `adjusted_rand`, it grows with the number of clusters.

    >>> distances = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    >>> normalized_mutual_information()(distances, torch.tensor([1, 1, 0, 0]))
    tensor(1.)
    """
    return _MutualInformation()
