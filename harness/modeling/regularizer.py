"""What a regularizer may do to a run. Override any of these; what is not overridden costs nothing."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from harness.modeling.rng.noise import Noise

Tensors = dict[str, Tensor]


class Regularizer:
    """The hooks, in the order in which a run meets them. `params` and `grads` are {name: tensor}."""

    watch: str = "val/loss"  # what `should_stop` and `keep` look at
    higher_is_better: bool = False  # of what is watched, as its metric says; set before training
    keep: Literal["last", "best"] = "last"  # which weights the run ends with

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
    """Whether a regularizer overrides a hook."""
    return getattr(type(regularizer), hook) is not getattr(Regularizer, hook)


def acts_on(regularizer: Regularizer) -> set[str]:
    """The hooks by which a regularizer changes a run: those that it overrides, and `keep` where it keeps the best."""
    hooks = {hook for hook in HOOKS if does(regularizer, hook)}
    return hooks | ({"keep"} if regularizer.keep != "last" else set())


def having(regularizers: list[Regularizer], hook: str) -> list[Regularizer]:
    """Those that override a hook."""
    return [r for r in regularizers if does(r, hook)]
