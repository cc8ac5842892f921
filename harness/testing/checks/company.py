"""Check that an optimizer's steps do not depend on other runs in its process."""

from __future__ import annotations

import math
from typing import Any

import torch

from harness.config.seeds import generator
from harness.modeling.builder import needs_closure
from harness.testing.check import check
from harness.testing.component_case import Case, Inapplicable, expect
from harness.testing.least_squares import STEPS
from harness.training.vectorized.bitwise import VECTOR
from harness.training.vectorized.sharing import probe_sharing
from harness.training.vectorized.stack import Weights

SHAPES = {"weight": (4, 3), "bias": (4,)}


@check("optimizer", needs=("repeats",))
def company(case: Case) -> None:
    """The steps do not depend on other runs that the process trains, earlier or at the same time."""
    if needs_closure(case.node):
        raise Inapplicable("an optimizer with a closure is trained alone by design")

    def make(leaves: dict[str, Any]) -> Any:
        return case.make(
            params=list(leaves.values()),
            named_params=list(leaves.items()),
            total_steps=STEPS,
            generator=generator(0, "testing"),
        )

    sizes = {name: -(-math.prod(shape) // VECTOR) * VECTOR for name, shape in SHAPES.items()}
    weights = Weights({n: torch.zeros(3, size) for n, size in sizes.items()}, {n: (s, True) for n, s in SHAPES.items()})
    result = probe_sharing(weights, list(SHAPES), make, case.function, "generator" not in case.asks)
    expect(result.by != "run", f"{result.why}; keep it in self.state[p], or in self.param_groups")
