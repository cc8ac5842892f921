"""Principal components: the linear code that loses least."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

import harness
from harness import Samples
from harness.space import Integers


class Components:
    """The mean of the training inputs, and the directions in which they vary most."""

    def __init__(self, code: int) -> None:
        self.code = code

    def fit(self, train: Samples) -> None:
        """x: [N, ...], in float64."""
        x = train.x.flatten(1).double()
        self.mean = x.mean(0)
        _, _, directions = torch.linalg.svd(x - self.mean, full_matrices=False)
        self.directions = directions[: self.code]  # [code, D], orthonormal

    def predict(self, x: Tensor) -> Tensor:
        """Inputs [N, ...] -> what is left of them in their code, [N, ...]."""
        centred = x.flatten(1).double() - self.mean
        return (self.mean + centred @ self.directions.T @ self.directions).view_as(x)


@harness.model(
    tasks=("reconstruction",),
    estimator=True,
    reference="Hotelling, Analysis of a complex of statistical variables into principal components, 1933",
)
def pca(
    *, code: Annotated[int, Integers(1, 64, log=True), Ge(1), "components that are kept, or as many as there are"] = 8
) -> Components:
    """Principal component analysis: no linear code of that width gives its inputs back with less squared error.

    x̂ = μ + Vᵀ V (x - μ), where the rows of V, [code, D], are the first right singular vectors of X - μ.
    """
    return Components(code)
