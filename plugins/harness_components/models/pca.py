"""Principal component analysis."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

import harness
from harness import Samples
from harness.space import Integers


class PrincipalComponents:
    """The mean of the training inputs, and the directions of largest variance."""

    def __init__(self, code: int) -> None:
        self.code = code

    def fit(self, train: Samples) -> None:
        """Compute the components of the inputs [N, ...] in float64."""
        x = train.x.flatten(1).double()
        self.mean = x.mean(0)
        _, _, directions = torch.linalg.svd(x - self.mean, full_matrices=False)
        self.directions = directions[: self.code]  # [code, D], orthonormal

    def predict(self, x: Tensor) -> Tensor:
        """Project inputs [N, ...] onto the components; return the same shape in float64."""
        centred = x.flatten(1).double() - self.mean
        return (self.mean + centred @ self.directions.T @ self.directions).view_as(x)


@harness.model(
    tasks=("reconstruction",),
    estimator=True,
    reference="Hotelling, Analysis of a complex of statistical variables into principal components, 1933",
)
def pca(
    *, code: Annotated[int, Integers(1, 64, log=True), Ge(1), "components kept, at most as many as inputs"] = 8
) -> PrincipalComponents:
    """Principal component analysis: the linear code with the smallest squared reconstruction error.

    With the rows of V, `[code, D]`, the first right singular vectors of X - μ:

        x̂ = μ + Vᵀ V (x - μ)

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.1]])
    >>> model = pca(code=1)
    >>> model.fit(Samples(x, x))
    >>> (model.predict(x) - x).abs().max() < 0.05
    tensor(True)
    """
    return PrincipalComponents(code)
