"""Tests of the diagnostics of single weights' steps, against numpy and optimizers whose learning rates are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from tests.plugins.components.helpers import measured


def named(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: torch.tensor(rng.normal(size=shape) * scale) for name, shape in {"w": (3, 4), "b": (3,)}.items()}


def flat(tensors):
    return np.concatenate([t.numpy().ravel() for t in tensors.values()])


def test_step_size_is_numpys():
    start, previous, grads, steps = named(0), named(1), named(2), named(3, 0.01)
    params = {name: t - steps[name] for name, t in previous.items()}
    values = measured("step_size", params=params, previous=previous, start=start, grads=grads)
    step, gradient, moved = np.abs(flat(steps)), np.abs(flat(grads)), np.abs(flat(params) - flat(start))
    sizes = np.log10(step / gradient)
    assert values[""] == pytest.approx(np.linalg.norm(step) / np.linalg.norm(gradient), rel=1e-9)
    assert values["spread"] == pytest.approx(sizes.std(), rel=1e-9)
    assert values["moved"] == pytest.approx(np.corrcoef(sizes, np.log10(moved))[0, 1], rel=1e-9)


def test_gradient_descent_has_one_step_size():
    start, grads = named(0), named(1)
    grads["w"][0] = 0  # without a gradient, and unmoved
    params = {name: t - 0.1 * grads[name] for name, t in start.items()}
    values = measured("step_size", params=params, previous=start, start=start, grads=grads)
    assert values[""] == pytest.approx(0.1, rel=1e-9)
    assert values["spread"] == pytest.approx(0, abs=1e-9)


def test_step_size_of_no_step_is_zero():
    start, grads = named(0), named(1)
    assert measured("step_size", params=start, previous=start, start=start, grads=grads) == {
        "": 0.0, "spread": 0.0, "moved": 0.0
    }  # fmt: skip
    assert measured("step_size", params=start, previous=start, start=start, grads={}) == {}


def test_unmoved_counts_parameters_of_which_no_element_has_changed():
    start = named(0)
    params = {name: t.clone() for name, t in start.items()}
    assert measured("unmoved", params=params, start=start) == {"": 2.0}
    params["w"][1, 2] += 1e-12
    assert measured("unmoved", params=params, start=start) == {"": 1.0}


@pytest.mark.parametrize(
    ("activation", "unreached", "unmoved"), [("relu", 0, 0), ("detached", 4, 4), ("step", 0, 4)], ids=str
)
def test_detached_layer_and_zero_gradients(activation: str, unreached: int, unmoved: int, workdir: Path) -> None:
    """A graph shows that a layer is cut off, and not that its gradient is zero."""
    record = harness.run(
        [f"activation={activation}", "data=wine", "model=mlp", "epochs=2", "diagnostic=[unreached,unmoved]"]
    )
    last = {name: record.diagnostics[name]["last"]["value"] for name in ("unreached", "unmoved")}
    assert last == {"unreached": unreached, "unmoved": unmoved}
