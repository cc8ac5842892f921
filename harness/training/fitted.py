"""A model that is fitted at once, behind the face of one that is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.datasets.dataset import Samples
from harness.modeling.estimator import EstimatorModule
from harness.modeling.rng.noise import Noise
from harness.training.single import SinglePath


class EstimatorPath(SinglePath):
    """A cohort of one that is fitted in its first batch, and has no steps."""

    _fitted = False

    def _batch(self, batch: int, x: Tensor, y: Tensor, whole: bool) -> Tensor:
        if not self._fitted:
            train = self.data["train"]
            assert isinstance(train, Samples)
            assert isinstance(self.model, EstimatorModule)
            self.model.estimator.fit(Samples(train.x.cpu(), train.y.cpu()))
            self._fitted = True
        with torch.no_grad():
            losses, _ = self.parts.task.evaluate(self._call, (x, y), Noise(self.key(batch)))
        return sum(losses.values(), torch.zeros((), device=self.device))
