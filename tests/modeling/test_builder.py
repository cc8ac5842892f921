"""Tests of building a run's objects: its initial weights do not depend on the process."""

from __future__ import annotations

import pytest
import torch

from harness.config.composition import compose
from harness.modeling import builder
from harness.modeling.builder import build
from harness.training.resources import use_threads


@pytest.mark.parametrize("initializer", ["orthogonal", "lsuv", "he_normal"])
def test_initial_weights_do_not_depend_on_the_number_of_threads(initializer: str) -> None:
    """A run in this process may have several threads, and one in a worker has one."""
    from harness.execution.preparation import prepare

    spec = prepare(compose(["data=digits", "model=mlp", "model.depth=5", f"initializer={initializer}", "seed=8"]))
    weights = []
    for threads in (1, 2):
        with use_threads(threads):
            parts = build(spec.values, spec.dataset, spec.plan.total_steps)
            assert torch.get_num_threads() == threads
        weights.append(torch.nn.utils.parameters_to_vector(parts.model.parameters()))
    assert torch.equal(*weights)


def test_optimizer_of_a_wrong_type_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "component", lambda kind, node, **offers: [])
    with pytest.raises(TypeError, match=r"optimizer sgd returned list, not a torch\.optim\.Optimizer"):
        builder.make_optimizer({"_component_": "sgd"})
