"""The base class of regularizers. A hook that is not overridden costs nothing."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from harness.modeling.rng.noise import Noise

Tensors = dict[str, Tensor]


class Regularizer:
    """The hooks, in the order in which a run meets them. `params` and `grads` are {name: tensor}."""

    watch: str = "val/loss"  # metric that `should_stop` and `keep` use
    higher_is_better: bool = False  # direction of that metric; set by harness before training
    keep: Literal["last", "best"] = "last"  # weights that the run ends with

    def layer(self, features: int, ndim: int) -> nn.Module | None:
        """A module for the end of each hidden block of `features` channels with `ndim` spatial dimensions."""
        return None

    def branch(self, index: int, depth: int) -> nn.Module | None:
        """A module for the end of residual branch `index` (from 0) of `depth`, before it is added."""
        return None

    def target(self, y: Tensor) -> Tensor:
        """The training targets, changed (label smoothing)."""
        return y

    def penalty(self, params: Tensors) -> Tensor:
        """A scalar added to the training loss."""
        raise NotImplementedError

    def gradient(self, grads: Tensors, params: Tensors, noise: Noise) -> Tensors:
        """The gradients, changed (clipping, noise)."""
        return grads

    def init(self, params: Tensors) -> Any:
        """The state that `after_step` and `evaluate` are handed, a dict of tensors or None."""
        return None

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Changes the parameters (or the state) in place, after each optimizer step."""

    def evaluate(self, params: Tensors, state: Any) -> Tensors:
        """The parameters to evaluate and to keep (averaged weights)."""
        return params

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        """Whether to stop, after each epoch; `history` has one row of metrics an epoch."""
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
