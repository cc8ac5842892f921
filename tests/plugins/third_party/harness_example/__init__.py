"""A plugin as a stranger writes it: it imports harness, and harness does not know it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

import harness
from harness import Split
from harness.space import Log, Uniform

from .signs import Signum
from .stripes import Stripes


def _snake_gain(frequency: float) -> float:
    a = frequency * frequency
    return 1 / math.sqrt(1 + (1 + math.exp(-8 * a) - 2 * math.exp(-4 * a)) / (8 * a))


@harness.activation(
    reference="Ziyin, Hartwig, Ueda, Neural networks fail to learn periodic functions, 2020, arXiv:2006.08195",
    gain=_snake_gain,
)
def snake(x: Tensor, *, frequency: Annotated[float, Log(0.1, 10), Gt(0), "of the waves on the line"] = 1.0) -> Tensor:
    """A line with waves: f(x) = x + sin²(a x) / a, with a the frequency."""
    return x + torch.sin(frequency * x) ** 2 / frequency


@harness.optimizer(reference="Bernstein et al., signSGD, 2018, arXiv:1802.04434")
def signum(
    params: Any,
    *,
    lr: Annotated[float, Log(1e-5, 1e-2), Gt(0)] = 1e-3,
    momentum: Annotated[float, Uniform(0.5, 0.99), Interval(ge=0, lt=1)] = 0.9,
) -> torch.optim.Optimizer:
    """Steps by the sign of the averaged gradient: m ← β m + (1 - β) g, θ ← θ - lr · sign(m)."""
    return Signum(params, lr, momentum)


class _Box(harness.Regularizer):
    def __init__(self, limit: float) -> None:
        self.limit = limit

    def after_step(self, params: dict[str, Tensor], previous: dict[str, Tensor], lr: float, state: Any) -> None:
        for p in params.values():
            p.clamp_(-self.limit, self.limit)


@harness.regularizer(reference="Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017, arXiv:1701.07875")
def weight_box(*, limit: Annotated[float, Log(1e-3, 1), Gt(0)] = 0.1) -> harness.Regularizer:
    """Keeps every parameter in [-limit, limit], by clamping after each step."""
    return _Box(limit)


@harness.data
def stripes(split: Split, *, n: Annotated[int, Ge(10), "samples"] = 200) -> harness.Dataset:
    """Stripes of two directions in noise, drawn when they are asked for. Inputs [16]; 2 classes."""
    sizes = {"val": math.ceil(n * split.val), "test": math.ceil(n * split.test)}
    sizes["train"] = n - sum(sizes.values())
    parts = {name: Stripes(split.seed, name, size) for name, size in sizes.items()}
    return harness.Dataset(
        parts["train"],
        parts["val"],
        parts["test"],
        target="class",
        classes=("rising", "falling"),
        digest=f"stripes-1-{split.seed}-{n}-{split.val}-{split.test}",
    )


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    return [snake, signum, weight_box, stripes]


@harness.hookimpl
def harness_config_dirs() -> list[str]:
    return ["pkg://harness_example.presets"]
