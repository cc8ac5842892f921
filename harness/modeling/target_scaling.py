"""Standardize real targets for training, and convert predictions back to the targets' units.

The mean and the deviation are buffers of the model: every member of a stack has its own, and they are saved with the
weights. They are float64 whatever the precision of the model, and so are the conversions, since targets may be large
numbers that differ little (times, for example).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from harness._compat.torch import FixedPrecision
from harness.modeling.estimator import EstimatorModule

_MEAN, _DEVIATION = "target_mean", "target_deviation"


class Scale(FixedPrecision):
    """Conversion of targets y [N, D] to standardized ones z = (y - μ) / σ and back, in float64."""

    fixed = (_MEAN, _DEVIATION)
    target_mean: Tensor
    target_deviation: Tensor

    def _register(self, mean: Tensor, deviation: Tensor) -> None:
        self.register_buffer(_MEAN, mean.double())
        self.register_buffer(_DEVIATION, deviation.double())

    def standardize(self, y: Tensor) -> Tensor:
        """Return z = (y - μ) / σ."""
        return (y.double() - self.target_mean) / self.target_deviation

    def restore(self, z: Tensor) -> Tensor:
        """Return y = σ z + μ."""
        return z.double() * self.target_deviation + self.target_mean


class Scaled(Scale):
    """Wrapper of a module that predicts standardized targets; it predicts them in their units."""

    def __init__(self, model: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.model = model
        self._register(mean, deviation)

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions [N, D] in the target's units."""
        return self.restore(self.model(x))

    def standardized(self, x: Tensor) -> Tensor:
        """Return standardized predictions [N, D]."""
        z: Tensor = self.model(x)
        return z


class ScaledEstimatorModule(EstimatorModule, Scale):
    """Estimator that is fitted in the target's units, with a loss that is comparable to that of a scaled module."""

    def __init__(self, module: EstimatorModule, mean: Tensor, deviation: Tensor) -> None:
        super().__init__(module.estimator)
        self._register(mean, deviation)

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions [N, D] in the target's units, unrounded."""
        return self.predicted(x)

    def standardized(self, x: Tensor) -> Tensor:
        """Return standardized predictions [N, D]."""
        return self.standardize(self(x)).to(x.dtype if x.is_floating_point() else torch.float32)


def scaled(model: nn.Module, targets: Callable[[], Iterable[Tensor]]) -> nn.Module:
    """Make a model learn standardized targets and predict in the unit of the targets.

    Mean and (biased) standard deviation come from the training targets. Constant targets are only centred.

    Args:
        model: A module that returns `[N, D]`, or an estimator.
        targets: Returns the training targets `[n, D]` in parts; it is called several times.

    Returns:
        The model with mean and deviation as buffers.
    """
    count = sum(len(y) for y in targets())
    zero = torch.zeros((), dtype=torch.float64)
    mean = sum((y.double().sum(0) for y in targets()), zero) / count
    deviation = (sum(((y.double() - mean).square().sum(0) for y in targets()), zero) / count).sqrt()
    low, high = (torch.stack([extreme(y, 0) for y in targets()]) for extreme in (torch.amin, torch.amax))
    deviation = torch.where(high.amax(0) > low.amin(0), deviation, 1.0)  # of a constant it may be a rounding error
    scale = mean, deviation.clamp_min(torch.finfo(torch.float32).tiny)
    return ScaledEstimatorModule(model, *scale) if isinstance(model, EstimatorModule) else Scaled(model, *scale)


def scaled_for(state: dict[str, Tensor], model: nn.Module) -> nn.Module:
    """Return a model that can load a state: with a scale if the state has one."""
    if _MEAN not in state:
        return model
    mean = state[_MEAN]
    return Scaled(model, mean, torch.ones_like(mean))
