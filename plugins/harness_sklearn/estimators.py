"""Estimators of scikit-learn behind the face of `harness.Estimator`, one class for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness import Samples
from harness_components.bridges.signatures import refused

FLOOR = 1e-12  # of a probability whose logarithm is taken
Make = Callable[[], Any]


def rows(x: Tensor) -> np.ndarray:
    """[N, ...] -> [N, features] in float64."""
    found: np.ndarray = x.flatten(1).double().numpy()
    return found


@contextmanager
def own_chance() -> Iterator[None]:
    """Inside, numpy's global generator begins anew, and afterwards it is as it was: some estimators draw from it, and
    have no random_state that could be given to them.
    """
    kept = np.random.get_state()  # noqa: NPY002  # it is the one that they draw from
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(kept)  # noqa: NPY002


class Fitted:
    """What they have in common: that what scikit-learn refuses is told in one line, before anything is predicted."""

    def __init__(self, name: str, make: Make, outputs: int) -> None:
        self.name, self.make, self.outputs = name, make, outputs

    def fit(self, train: Samples) -> None:
        """Learns from the training split."""
        with refused(self.name), own_chance():
            self.model = self.make()
            self.learn(train)
            self.predict(train.x[:2])  # what cannot predict with these settings says so now

    def learn(self, train: Samples) -> None:
        """x: [N, ...]; targets are not looked at."""
        self.model.fit(rows(train.x))

    def predict(self, x: Tensor) -> Tensor:
        """Predictions for inputs [N, ...]."""
        raise NotImplementedError


class Classifier(Fitted):
    """The logarithms of probabilities, or scores where there are none, [N, C]; one logit [N, 1] for one output."""

    def learn(self, train: Samples) -> None:
        """y: classes [N]."""
        y = train.y.numpy()
        self.model.fit(rows(train.x), y[:, 0] if y.ndim > 1 and y.shape[1] == 1 else y)

    def predict(self, x: Tensor) -> Tensor:
        """Scores whose largest is the predicted class."""
        seen = np.asarray(self.model.classes_).astype(int)
        scores = np.full((len(x), max(2, self.outputs)), np.log(FLOOR))  # a class that training never saw
        scores[:, seen] = self._scores(rows(x), len(seen))
        self._agree(scores, np.asarray(self.model.predict(rows(x))).astype(int))
        made = torch.as_tensor(scores)
        return made[:, 1:] - made[:, :1] if self.outputs == 1 else made

    def _scores(self, x: np.ndarray, classes: int) -> np.ndarray:
        if hasattr(self.model, "predict_proba"):
            return np.log(np.clip(self.model.predict_proba(x), FLOOR, None))
        if hasattr(self.model, "decision_function"):
            found = np.asarray(self.model.decision_function(x))
            if found.ndim == 1:
                return np.column_stack([np.zeros_like(found), found])
            if found.shape[1] == classes:
                return found
        chosen = np.asarray(self.model.predict(x))[:, None] == self.model.classes_
        return np.where(chosen, 0.0, np.log(FLOOR))

    @staticmethod
    def _agree(scores: np.ndarray, chosen: np.ndarray) -> None:
        """Gives the class that the estimator chooses the largest score, where it chooses by something else."""
        at, largest = np.arange(len(scores)), scores.argmax(1)
        scores[at, chosen], scores[at, largest] = scores[at, largest], scores[at, chosen].copy()


class Regressor(Fitted):
    """Real numbers [N, D]; an estimator of one number is fitted once for each."""

    def learn(self, train: Samples) -> None:
        """y: [N, D]."""
        from sklearn.multioutput import MultiOutputRegressor

        y, tags = train.y.double().numpy(), self.model.__sklearn_tags__().target_tags
        if y.shape[1] > 1 and not tags.multi_output:
            self.model = MultiOutputRegressor(self.model)
        self.model.fit(rows(train.x), y[:, 0] if y.shape[1] == 1 and tags.single_output else y)

    def predict(self, x: Tensor) -> Tensor:
        """[N, D]"""
        return torch.as_tensor(np.asarray(self.model.predict(rows(x)))).reshape(len(x), self.outputs)


class Centres(Fitted):
    """Squared distances [N, K] to the centres of the clusters that were found."""

    def predict(self, x: Tensor) -> Tensor:
        """[N, K]"""
        centres = torch.as_tensor(np.asarray(self.model.cluster_centers_)).double()
        return torch.cdist(torch.as_tensor(rows(x)), centres, compute_mode="donot_use_mm_for_euclid_dist").square()


class Code(Fitted):
    """What is left of inputs in their code."""

    def predict(self, x: Tensor) -> Tensor:
        """[N, ...], of the shape of the inputs."""
        return torch.as_tensor(self.model.inverse_transform(self.model.transform(rows(x)))).reshape(x.shape)
