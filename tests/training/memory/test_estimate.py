"""Tests of memory estimates, against closed forms and the memory of a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import harness
from harness.config.composition import compose
from harness.execution.preparation import prepare
from harness.modeling.builder import RunComponents, build
from harness.training.memory.estimate import MemoryEstimate, estimate_memory, optimizer_memory


def parts_of(*words: str) -> tuple[RunComponents, MemoryEstimate]:
    prepared = prepare(compose(["logger=[]", *words]))
    dataset = prepared.dataset
    parts = build(prepared.values, dataset, prepared.plan.total_steps)
    return parts, estimate_memory(parts, dataset, prepared.plan)


def test_parts_of_an_mlp_match_the_closed_form() -> None:
    weights = 4 * (64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10)
    _, estimate = parts_of("model=mlp", "model.width=32", "batch_size=100", "optimizer=adam")
    assert (estimate.parameters, estimate.gradients) == (weights, weights)
    assert estimate.optimizer == pytest.approx(2 * weights, abs=6 * 4)  # two moments, and a counter for each tensor
    assert estimate.data == 1797 * (64 * 4 + 8)
    layers = estimate.activations(100)
    assert {n for name, n in layers.items() if name} == {4 * 32 * 100}
    assert sum(1 for name in layers if name) == 2
    assert estimate.total(100) > 4 * weights + estimate.data + sum(layers.values())


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [("sgd", 0), ("momentum", 1), ("adam", 2), ("lion", 1), ("rmsprop", 1), ("lbfgs", None), ("random_search", None)],
)
def test_optimizer_state_is_extrapolated_from_fewer_parameters(optimizer: str, numbers: int | None) -> None:
    parts, estimate = parts_of("model=mlp", "model.width=400", f"optimizer={optimizer}", "epochs=4")
    assert estimate.parameters > 4 * 150_000  # more than an optimizer is tried on
    if numbers is not None:
        assert estimate.optimizer == pytest.approx(numbers * estimate.parameters, rel=1e-3, abs=64)
    if optimizer == "lbfgs":  # one step an epoch; each keeps a direction and a difference, beside four vectors
        assert 4 * estimate.parameters < estimate.optimizer < 14 * estimate.parameters
    assert optimizer_memory(parts, prepare(compose(["epochs=4"])).plan)[1] >= 0


def test_estimating_memory_does_not_change_the_run() -> None:
    words = ["logger=[]", "model=cnn", "normalization=batch_norm", "regularizer=[dropout]", "batch_size=64"]
    prepared = prepare(compose(words))
    dataset = prepared.dataset
    parts = build(prepared.values, dataset, prepared.plan.total_steps)
    before = {name: t.clone() for name, t in parts.model.state_dict().items()}
    modes, state = [m.training for m in parts.model.modules()], torch.get_rng_state()
    estimate_memory(parts, dataset, prepared.plan, "cuda")  # a device that no other test has measured
    assert all(torch.equal(t, before[name]) for name, t in parts.model.state_dict().items())
    assert [m.training for m in parts.model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in parts.model.parameters())


@pytest.mark.parametrize(
    "words",
    [
        ["task=generation", "model=vae"],
        ["task=generation", "model=gan"],
        ["experiment=one_shot"],
        ["data=quadratic", "optimizer.lr=0.1"],
        ["data=parity", "model=lstm", "accumulate=2"],
        ["model=nearest_neighbour"],
        ["regularizer=[weight_averaging,early_stopping]", "save=best"],
    ],
    ids=" ".join,
)
def test_every_kind_of_run_has_an_estimate(words: list[str]) -> None:
    steps = [] if words == ["model=nearest_neighbour"] else ["epochs=2"]
    _, estimate = parts_of(*words, *steps)
    assert estimate.total() >= estimate.parameters + estimate.optimizer + estimate.data > 0
    assert estimate.total(2 * estimate.batch_size) >= estimate.total()


def test_record_has_estimate_base_and_peak(workdir: Path) -> None:
    memory = harness.run(["epochs=1", "logger=[]"]).memory
    assert 0 < memory["estimate"] < 10e6
    assert 50e6 < memory["base"] <= memory["peak"]


def test_record_has_the_parts_of_the_memory(workdir: Path) -> None:
    """Adam keeps two numbers beside each weight, and the saved activations grow with the batch."""
    words = ["epochs=1", "logger=[]", "model=mlp", "model.width=32"]
    adam, sgd, large = (
        harness.run([*words, *more]).memory["parts"]
        for more in (["optimizer=adam"], ["optimizer=sgd"], ["optimizer=sgd", "batch_size=128"])
    )
    assert adam["parameters"] == adam["gradients"] == 4 * (64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10)
    assert adam["optimizer"] == pytest.approx(2 * adam["parameters"], rel=0.01, abs=0)
    assert sgd["optimizer"] == 0
    assert large["activations"] == pytest.approx(2 * sgd["activations"], rel=0.1, abs=0)


CHILD = """
import json, os, sys
import harness
from harness.system.session import Session
tiny = {"model.width=": "model.width=16", "batch_size=": "batch_size=32", "model.channels=": "model.channels=[4,4]"}
small = [next((to for name, to in tiny.items() if word.startswith(name)), word) for word in sys.argv[1:]]
assert harness.run([*small, "study=warm"]).status == "completed"  # all that a run imports is imported now

def resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))

before = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")  # the peak is counted from here
with Session():
    record = harness.run(sys.argv[1:])
assert record.status == "completed", record.error
print(json.dumps([record.memory["estimate"], resident("VmHWM") - before]))
"""
MODELS = {
    "mlp": "batch_size=1024 model=mlp model.width=4000 model.depth=3",
    "cnn": "batch_size=1149 model=cnn model.channels=[320,320]",
    "rnn": "batch_size=512 data=parity data.n=1600 data.length=24 model=rnn model.width=1024 model.depth=2",
    "vae": "batch_size=1024 task=generation model=vae model.width=3500 model.depth=2 optimizer.lr=1e-6",
}


def measured(folder: Path, words: str) -> tuple[int, int]:
    """Return the estimate and the peak above the level after imports, of a run in a process of its own."""
    line = [sys.executable, "-c", CHILD, *words.split(), "logger=[]", "save=none"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    estimate, peak = json.loads(done.stdout.splitlines()[-1])
    return estimate, peak


linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="read from /proc")


@linux
@pytest.mark.slow  # the heap differs from one process to the next
def test_estimate_matches_process_memory(tmp_path: Path) -> None:
    estimate, peak = measured(tmp_path, "epochs=2 batch_size=575 model=mlp model.width=4000 optimizer=sgd")
    assert peak > 100e6
    assert estimate == pytest.approx(peak, rel=0.15)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("model", MODELS)
def test_estimate_matches_process_memory_above_300_mb(tmp_path: Path, model: str, optimizer: str) -> None:
    folders = [tmp_path / name for name in "abc"]  # a shared folder would cache the second run
    for folder in folders:
        folder.mkdir()
    pairs = [measured(folder, f"epochs=2 {MODELS[model]} optimizer={optimizer}") for folder in folders]
    estimate, peak = sorted(pairs, key=lambda pair: pair[1])[1]  # equal runs differ by a quarter
    assert peak > 300e6
    assert estimate == pytest.approx(peak, rel=0.15)
