"""Tests of traps: experiments that would give a wrong verdict if they were built carelessly."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness


@pytest.mark.slow
def test_rounding_breaks_the_symmetry_of_zero_weights(workdir: Path) -> None:
    """Units that start equal stay equal in exact arithmetic: for a few steps in float64, and not for long in float32.

    The kernels of a matrix product add up the numbers of some units in another order than those of others.
    """
    words = ["data=digits", "model=mlp", "model.width=5", "activation=sigmoid", "initializer=zeros"]
    words += ["optimizer=adam", "optimizer.lr=0.05", "diagnostic=[unit_asymmetry]"]
    short = harness.run([*words, "epochs=5", "trainer.precision=64-true"])
    long = harness.run([*words, "epochs=40", "trainer.precision=32-true"])
    layer = "hidden.layer0.0"
    assert short.diagnostics["unit_asymmetry"]["last"][layer] < 1e-12
    assert long.diagnostics["unit_asymmetry"]["last"][layer] > 1e-2
    assert long.metrics["test/accuracy"] > short.metrics["test/accuracy"] + 0.1  # the units have learned apart


def test_weight_update_of_equal_averages_needs_equal_steps(workdir: Path) -> None:
    """Momentum and an average of gradients differ by a factor of the learning rate, and by nothing else."""
    words = ["data=wine", "model=mlp", "epochs=3", "trainer.precision=64-true", "save=none"]
    sides = [("momentum", 0.01), ("ema_momentum", 0.1), ("ema_momentum", 0.01)]
    momentum, scaled, equal = (
        harness.run([*words, f"optimizer={name}", f"optimizer.lr={lr}"]).metrics["test/loss"] for name, lr in sides
    )
    assert scaled == pytest.approx(momentum, rel=1e-12, abs=1e-12)
    assert abs(equal - momentum) > 0.01
