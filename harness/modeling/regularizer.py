"""The base class of regularizers. A hook that is not overridden costs nothing."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from harness.modeling.rng.noise import Noise

Tensors = dict[str, Tensor]
"""Parameters or gradients by name."""


class Regularizer:
    """Base class for regularizers. Override some of its methods; the others cost nothing.

    The methods are in the order in which a run calls them.

    Attributes:
        watch: The metric for `should_stop` and `keep`.
        higher_is_better: The direction of this metric; harness sets it before training.
        keep: The weights at the end of a run: "last", or those at the best value of `watch`.
    """

    watch: str = "val/loss"
    higher_is_better: bool = False
    keep: Literal["last", "best"] = "last"

    def layer(self, features: int, ndim: int) -> nn.Module | None:
        """Return a module for the end of each hidden block, or None.

        Args:
            features: The number of features of the block.
            ndim: The number of dimensions after the features.
        """
        return None

    def branch(self, index: int, depth: int) -> nn.Module | None:
        """Return a module for the end of a residual branch, before the addition, or None.

        Args:
            index: The index of the branch, from 0.
            depth: The number of branches.
        """
        return None

    def target(self, y: Tensor) -> Tensor:
        """Return changed training targets, for example smoothed labels.

        Args:
            y: The targets of a batch.
        """
        return y

    def penalty(self, params: Tensors) -> Tensor:
        """Return a scalar to add to the training loss.

        Args:
            params: The parameters, `{name: tensor}`.
        """
        raise NotImplementedError

    def gradient(self, grads: Tensors, params: Tensors, noise: Noise) -> Tensors:
        """Return changed gradients, for example clipped ones.

        Args:
            grads: The gradients, `{name: tensor}`.
            params: The parameters, `{name: tensor}`.
            noise: The source of random numbers.
        """
        return grads

    def init(self, params: Tensors) -> Any:
        """Return the initial state for `after_step` and `evaluate`: a dict of tensors, or None.

        Args:
            params: The initial parameters, `{name: tensor}`.
        """
        return None

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Change the parameters or the state in place, after each optimizer step.

        Args:
            params: The parameters after the step, `{name: tensor}`.
            previous: The parameters before the step.
            lr: The learning rate of the step.
            state: The state from `init`.
        """

    def evaluate(self, params: Tensors, state: Any) -> Tensors:
        """Return the parameters to evaluate and to save, for example averaged ones.

        Args:
            params: The parameters, `{name: tensor}`.
            state: The state from `init`.
        """
        return params

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        """Return True to end the run. Called after each epoch.

        Args:
            history: The metrics of every epoch so far, `{metric: value}`.
        """
        return False


HOOKS = ("layer", "branch", "target", "penalty", "gradient", "after_step", "evaluate", "should_stop")


def does(regularizer: Regularizer, hook: str) -> bool:
    """Return True if a regularizer overrides a hook."""
    return getattr(type(regularizer), hook) is not getattr(Regularizer, hook)


def acts_on(regularizer: Regularizer) -> set[str]:
    """Return the hooks that a regularizer overrides, and `keep` if it keeps the best weights."""
    hooks = {hook for hook in HOOKS if does(regularizer, hook)}
    return hooks | ({"keep"} if regularizer.keep != "last" else set())


def having(regularizers: list[Regularizer], hook: str) -> list[Regularizer]:
    """Return the regularizers that override a hook."""
    return [r for r in regularizers if does(r, hook)]
