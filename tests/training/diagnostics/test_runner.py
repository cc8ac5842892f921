"""Tests of diagnostics during training: equal alone and in a stack, without an effect on the run."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.modeling.diagnostic import Diagnostic
from harness.training.diagnostics import budget, runner
from harness.training.fit import Run
from tests.training.helpers import FLOAT64, cohort

# parts that diagnostics could disturb: running statistics, noise, and parameters that differ in a stack
BASE = ["batch_size=43", "split.test=0.6", "split.val=0.2", "epochs=1", "model=mlp", "model.width=13",
        "normalization=batch_norm", "regularizer=[dropout]"]  # fmt: skip
SOME = ["gradient_norm", "activation_gradient", "update_ratio", "weights", "saturation", "drift", "calibration",
        "mode_gap", "histograms", "gradient_noise", "sharpness"]  # fmt: skip
OFTEN = ["diagnostic_budget=1000"]


def chosen(names: Sequence[str], every: int) -> list[str]:
    return [f"diagnostic=[{','.join(names)}]", *(f"diagnostic.{name}.every={every}" for name in names), *OFTEN]


def looked(
    lines: Sequence[Sequence[str]], fused: bool, add: dict[str, Diagnostic] | None = None
) -> tuple[list[Run], list[Any]]:
    """Train runs; return them and the values of each, as {(tag, step): value}."""
    recorded: list[Any] = []
    runs = cohort(lines, change=lambda parts: parts.diagnostics.update(add or {}), fused=fused, seen=recorded)
    return runs, recorded


def close(ours: dict[Any, Any], theirs: dict[Any, Any], rel: float) -> None:
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, float):
            assert ours[key] == pytest.approx(value, rel=rel, abs=1e-9, nan_ok=True), key
        else:
            for a, b in zip(ours[key], value, strict=True):
                torch.testing.assert_close(a, b, rtol=rel, atol=1e-9)


def test_values_in_a_stack_equal_those_alone() -> None:
    line = [*BASE, *FLOAT64, *chosen([*SOME, "hessian"], 4)]
    lines = [[*line, "seed=3"], [*line, "seed=5", "optimizer.lr=0.003", "regularizer.dropout.p=0.2"]]
    runs, stacked = looked(lines, fused=True)
    _, (alone,) = looked(lines[1:], fused=False)
    assert not [name for run in runs for name, row in run.state.diagnostics.items() if "failed" in row]
    assert {tag.partition("/")[0] for tag, _ in alone} == {*SOME, "hessian"}
    assert {step for _, step in alone} == {1, 5, 9}  # the last step is measured too
    close(stacked[1], alone, 1e-6)
    assert stacked[0]["gradient_norm/all", 5] != stacked[1]["gradient_norm/all", 5]


def in_order_of_class(dataset: Dataset) -> Dataset:
    parts = {split: dataset.part(split) for split in SPLITS}
    order = {split: part.y.argsort(stable=True) for split, part in parts.items()}
    return replace(dataset, **{split: Samples(p.x[order[split]], p.y[order[split]]) for split, p in parts.items()})


def test_probe_of_a_split_that_is_sorted_by_class_has_all_classes() -> None:
    line = [*BASE, *chosen(["gradient_norm"], 4)]
    probes = Diagnostic(lambda y, target: {"of": (y, target)}, every=4)
    seen: list[list[Any]] = []
    for lines, fused in (([line], False), ([line, [*line, "seed=1"]], True)):
        found: list[Any] = []
        cohort(lines, in_order_of_class, lambda parts: parts.diagnostics.update(probes=probes), fused, seen=found)
        seen.append([*found[-1]["probes/of", 1]])
    for alone, stacked in zip(*seen, strict=True):
        assert len(alone.unique()) == 10
        assert torch.equal(alone, stacked)


@pytest.mark.parametrize("fused", [False, True])
def test_diagnostics_do_not_change_a_run_bitwise(fused: bool) -> None:
    lines = [[*BASE, f"seed={seed}"] for seed in (1, 2)]
    lines = lines if fused else lines[:1]
    bare, _ = looked(lines, fused)
    watched, values = looked([[*line, *chosen(SOME, 4)] for line in lines], fused)
    assert len(values[0]) > 50
    for one, other in zip(bare, watched, strict=True):
        assert one.state.history == other.state.history
        assert one.state.metrics == other.state.metrics
        weights = one.state.weights, other.state.weights
        assert any(name.endswith("running_var") for name in weights[0])
        assert all(torch.equal(t, weights[1][name]) for name, t in weights[0].items())


def broken(grads: Any) -> dict[str, Any]:
    raise ValueError("nothing\nto see")


def asks_values(params: Any) -> dict[str, Any]:
    """Read a number, which vmap refuses: the diagnostic is then measured row by row."""
    largest = next(iter(params.values())).abs().max()
    return {"": 1.0 if float(largest) > 0 else 0.0, "largest": largest}


@pytest.mark.parametrize("fused", [False, True])
def test_failing_diagnostic_is_reported_and_the_run_continues(fused: bool) -> None:
    lines = [[*BASE, *chosen(["gradient_norm"], 4), f"seed={seed}"] for seed in (1, 2)][: 2 if fused else 1]
    add = {"broken": Diagnostic(broken), "values": Diagnostic(asks_values, 4)}
    runs, result = looked(lines, fused, add)
    for run, values in zip(runs, result, strict=True):
        assert run.state.epochs == 1
        assert run.state.failed is None
        diagnostics = run.state.diagnostics
        assert diagnostics["broken"] == {"failed": "ValueError: nothing to see"}
        assert diagnostics["gradient_norm"]["looks"] == diagnostics["values"]["looks"] == 3
        assert values["values/value", 5] == 1.0
    if fused:
        assert result[0]["values/largest", 1] != result[1]["values/largest", 1]


@pytest.mark.parametrize("free", [0, 1 << 40])
def test_weight_copies_beyond_free_memory_are_not_made(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SMALL", 1)
    monkeypatch.setattr(runner, "free_bytes", lambda device: free)
    (run,), (values,) = looked([[*BASE, *chosen(["weights", "update_ratio", "gradient_norm"], 4)]], False)
    diagnostics = run.state.diagnostics
    assert {name for name, row in diagnostics.items() if "failed" in row} == (
        set() if free else {"weights", "update_ratio"}
    )
    assert "too many for what is free" in diagnostics["weights"].get("failed", "too many for what is free")
    assert {tag.partition("/")[0] for tag, _ in values} == {"gradient_norm"} | (
        {"weights", "update_ratio"} if free else set()
    )


def words(params: Any) -> dict[str, Any]:
    return {"": "many"}


def test_diagnostic_of_a_wrong_type_is_reported_and_others_are_measured() -> None:
    lines = [[*BASE, *chosen(["gradient_norm"], 4), f"seed={seed}"] for seed in (1, 2)]
    runs, result = looked(lines, True, {"words": Diagnostic(words, 4)})
    for run, values in zip(runs, result, strict=True):
        assert run.state.diagnostics["words"] == {"failed": "TypeError: a diagnostic found str, which is no tensor"}
        assert values["gradient_norm/all", 9] > 0


def rate(params: Any, loss: Any) -> dict[str, Any]:
    asks_values(params)
    return {"train": loss(params), "eval": loss(params, train=False)}


def test_measuring_row_by_row_uses_each_runs_dropout_rate() -> None:
    line = [*BASE, *FLOAT64, "diagnostic=[]"]
    lines = [[*line, "seed=3"], [*line, "seed=5", "regularizer.dropout.p=0.9"]]
    add = {"rate": Diagnostic(rate, 4)}
    _, stacked = looked(lines, True, add)
    _, (alone,) = looked(lines[1:], False, add)
    close(stacked[1], alone, 1e-9)
    assert alone["rate/train", 1] != alone["rate/eval", 1]


def test_layer_gradients_match_finite_differences() -> None:
    """Gradients of each sample's loss by a layer's output: a bias shifts the outputs of all samples equally."""
    seen: dict[str, Any] = {}

    def keep(layers: Any, loss: Any, params: Any) -> dict[str, Any]:
        moved = {}
        for sign in (1, -1):
            bias = params["hidden.layer1.0.bias"].clone()
            bias[2] += sign * 1e-6
            moved[sign] = loss(params | {"hidden.layer1.0.bias": bias})
        seen["slope"] = (moved[1] - moved[-1]) / 2e-6
        seen["gradient"] = layers["hidden.layer1.0"].gradient
        return {}

    base = ["batch_size=100", "epochs=1", "model=mlp", "model.width=7", *FLOAT64]
    looked([base], False, {"keep": Diagnostic(functools.partial(keep), 100)})
    assert float(seen["gradient"][:, 2].mean()) == pytest.approx(float(seen["slope"]), rel=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_short_run_is_measured_a_dozen_times_by_default(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FLOOR_S", 1e9)  # on a slow machine a measurement may cost more than the floor
    names = ["gradient_norm", "dead_units", "numerics", "hessian"]
    line = [*BASE[1:], "batch_size=8", f"diagnostic=[{','.join(names)}]"]  # 45 steps
    runs, result = looked([[*line, "seed=3"], [*line, "seed=5"]][: 1 + fused], fused)
    for run, values in zip(runs, result, strict=True):
        steps = sorted(step for tag, step in values if tag == "gradient_norm/all")
        assert (steps[0], steps[-1]) == (1, 45)
        # a slow machine's spare time can pay for more measurements, but never leaves out those of the minimum
        assert max(later - earlier for earlier, later in itertools.pairwise(steps)) <= 4
        assert {step for tag, step in values if tag.startswith("hessian/")} >= {1, 45}
        assert all(run.state.diagnostics[name]["looks"] >= 12 for name in names[:3])
