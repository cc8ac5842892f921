"""The gradients of one step, summed over the batches that it is made of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Gradients:
    """A batch's gradients are added; a step takes them."""

    def __init__(self) -> None:
        self.sums: list[Tensor | None] | None = None

    def add(self, grads: tuple[Tensor | None, ...]) -> None:
        """Adds a batch's gradients to those of the step."""
        if self.sums is None:
            self.sums = list(grads)
        else:
            pairs = zip(self.sums, grads, strict=True)
            self.sums = [b if a is None else a if b is None else a + b for a, b in pairs]

    def take(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The step's gradients by name; parameters that the loss does not reach are left out."""
        assert self.sums is not None
        grads = {n: g for n, g in zip(names, self.sums, strict=True) if g is not None}
        self.sums = None
        return grads
