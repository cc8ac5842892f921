"""Estimators of scikit-learn as `harness.Estimator`, one class for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness import Samples
from harness_components.bridges.signatures import refused

FLOOR = 1e-12  # smallest probability whose logarithm is taken
Make = Callable[[], Any]


def rows(x: Tensor) -> np.ndarray:
    """Return inputs [N, ...] as rows [N, features] in float64."""
    array: np.ndarray = x.flatten(1).double().numpy()
    return array


@contextmanager
def numpy_seeded() -> Iterator[None]:
    """Seed numpy's global generator inside, and restore it afterwards: some estimators draw from it."""
    state = np.random.get_state()  # noqa: NPY002  # these estimators draw from it
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


class Fitted:
    """Base class; refusals of scikit-learn become one line, raised before anything is predicted."""

    def __init__(self, name: str, make: Make, outputs: int) -> None:
        self.name, self.make, self.outputs = name, make, outputs

    def fit(self, train: Samples) -> None:
        """Fit the training split."""
        with refused(self.name), numpy_seeded():
            self.model = self.make()
            self.learn(train)
            self.predict(train.x[:2])  # fails now if it cannot predict with these settings

    def learn(self, train: Samples) -> None:
        """Fit inputs [N, ...]; targets are ignored."""
        self.model.fit(rows(train.x))

    def predict(self, x: Tensor) -> Tensor:
        """Predict for inputs [N, ...]."""
        raise NotImplementedError


class Classifier(Fitted):
    """Predict log-probabilities, or scores if there are none, [N, C]; one logit [N, 1] for one output."""

    def learn(self, train: Samples) -> None:
        """Fit inputs [N, ...] and classes [N]."""
        y = train.y.numpy()
        self.model.fit(rows(train.x), y[:, 0] if y.ndim > 1 and y.shape[1] == 1 else y)

    def predict(self, x: Tensor) -> Tensor:
        """Return scores whose largest is the predicted class."""
        seen = np.asarray(self.model.classes_).astype(int)
        scores = np.full((len(x), max(2, self.outputs)), np.log(FLOOR))  # kept by classes without training samples
        scores[:, seen] = self._scores(rows(x), len(seen))
        self._agree(scores, np.asarray(self.model.predict(rows(x))).astype(int))
        logits = torch.as_tensor(scores)
        return logits[:, 1:] - logits[:, :1] if self.outputs == 1 else logits

    def _scores(self, x: np.ndarray, classes: int) -> np.ndarray:
        if hasattr(self.model, "predict_proba"):
            return np.log(np.clip(self.model.predict_proba(x), FLOOR, None))
        if hasattr(self.model, "decision_function"):
            scores = np.asarray(self.model.decision_function(x))
            if scores.ndim == 1:
                return np.column_stack([np.zeros_like(scores), scores])
            if scores.shape[1] == classes:
                return scores
        chosen = np.asarray(self.model.predict(x))[:, None] == self.model.classes_
        return np.where(chosen, 0.0, np.log(FLOOR))

    @staticmethod
    def _agree(scores: np.ndarray, chosen: np.ndarray) -> None:
        """Give the predicted class the largest score, where the estimator does not choose by its scores."""
        at, largest = np.arange(len(scores)), scores.argmax(1)
        scores[at, chosen], scores[at, largest] = scores[at, largest], scores[at, chosen].copy()


class Regressor(Fitted):
    """Predict real numbers [N, D]; an estimator of one output is fitted once for each."""

    def learn(self, train: Samples) -> None:
        """Fit inputs [N, ...] and targets [N, D]."""
        from sklearn.multioutput import MultiOutputRegressor

        y, tags = train.y.double().numpy(), self.model.__sklearn_tags__().target_tags
        if y.shape[1] > 1 and not tags.multi_output:
            self.model = MultiOutputRegressor(self.model)
        self.model.fit(rows(train.x), y[:, 0] if y.shape[1] == 1 and tags.single_output else y)

    def predict(self, x: Tensor) -> Tensor:
        """Return [N, D]."""
        return torch.as_tensor(np.asarray(self.model.predict(rows(x)))).reshape(len(x), self.outputs)


class Centres(Fitted):
    """Squared distances [N, K] to the centres of the clusters."""

    def predict(self, x: Tensor) -> Tensor:
        """Return [N, K]."""
        centres = torch.as_tensor(np.asarray(self.model.cluster_centers_)).double()
        return torch.cdist(torch.as_tensor(rows(x)), centres, compute_mode="donot_use_mm_for_euclid_dist").square()


class Code(Fitted):
    """Reconstruct inputs from their code."""

    def predict(self, x: Tensor) -> Tensor:
        """Return [N, ...], of the shape of the inputs."""
        return torch.as_tensor(self.model.inverse_transform(self.model.transform(rows(x)))).reshape(x.shape)
