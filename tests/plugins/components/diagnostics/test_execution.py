"""Tests of the graph of operations and of models in stages, on models whose graph and gradient are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import harness
from harness_components.diagnostics.execution import count_nodes, cut_after


def last(name: str, *words: str) -> dict[str, float]:
    """Return the values of a diagnostic at the end of a short run."""
    few = (
        [] if any(word.startswith("data=") for word in words) else ["corruption=[fraction]", "corruption.fraction.n=64"]
    )
    values: dict[str, float] = harness.run(["epochs=1", f"diagnostic=[{name}]", *few, *words]).diagnostics[name]["last"]
    return values


def test_nodes_of_a_product() -> None:
    x = torch.ones(2, requires_grad=True)
    assert count_nodes((x * x).sum()) == 3  # sum, product, and the leaf once
    assert count_nodes(x.detach()) == 0


def test_graph_is_there_only_if_gradients_are_wanted(workdir: Path) -> None:
    values = last("graph", "model=logistic")
    assert values["nodes"] > 2
    assert values["without_gradients"] == 0
    assert "growth" not in values


def test_graph_follows_the_loop_over_the_steps(workdir: Path) -> None:
    words = ["data=order", "data.n=100"]
    short, long = (last("graph", "model=rnn", f"data.length={n}", *words) for n in (20, 40))
    assert long["nodes"] / short["nodes"] == pytest.approx(long["growth"], rel=1e-9)
    assert 1.5 < long["growth"] < 2


@pytest.mark.parametrize(
    ("words", "equal"),
    [
        (["model=mlp"], True),
        (["model=cnn", "model.channels=[4,4]"], True),
        (["model=mlp", "normalization=layer_norm"], True),
        (["model=mlp", "normalization=batch_norm"], False),
    ],
    ids=str,
)
def test_stages_equal_the_whole_unless_samples_interact(words: list[str], equal: bool, workdir: Path) -> None:
    values = last("stages", "trainer.precision=64-true", *words)
    assert (values["gradient"] < 1e-12) == equal
    assert (values["loss"] < 1e-12) == equal
    assert equal or values["gradient"] > 1e-3


def test_batch_normalization_as_a_whole_is_equal_in_stages(workdir: Path) -> None:
    words = ["trainer.precision=64-true", "normalization=batch_norm", "diagnostic.stages.parts=1"]
    assert last("stages", *words)["gradient"] < 1e-12


def test_cut_hands_on_a_copy_without_a_graph() -> None:
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    x = torch.randn(4, 2)
    expected = second(first(x))
    with cut_after(first) as pairs:
        result = second(first(x))
        result.sum().backward()
    assert torch.equal(result, expected)
    assert first.weight.grad is None  # the second stage alone
    ((output, copy),) = pairs
    output.backward(copy.grad)
    grads = torch.autograd.grad(expected.sum(), first.weight)
    assert torch.equal(first.weight.grad, grads[0])
    assert count_nodes(second(first(x))) == count_nodes(expected)  # the hook is gone
