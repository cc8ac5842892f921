"""Tests of recorded training steps: equal to plain ones to the bit, for single runs and stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from harness.config.settings import typed_settings
from harness.execution.preparation import make_plan
from harness.execution.resolve import resolve
from harness.modeling.builder import build
from harness.registry import catalogue
from harness.testing.training import LOADER, cohort, composed, same
from harness.training.fit import Run, transformed_splits
from harness.training.recorded.function import RecordedFunction
from harness.training.single import SinglePath
from harness.training.vectorized.loop import StackedPath

CPU = torch.device("cpu")

LINE = ["data=digits", "split.test=0.6", "split.val=0.2", "batch_size=43", "epochs=4"]
MLP = ["model=mlp", "model.width=13"]
SHARED = [["seed=1"], ["seed=2"], ["seed=3", "optimizer.lr=0.01"]]
VARIANTS = {
    "adam": [],
    "sgd": ["optimizer=sgd"],
    "momentum, cosine, warmup": ["optimizer=momentum", "scheduler=cosine", "warmup=0.2"],
    "amsgrad": ["optimizer.amsgrad=true"],
    "one_cycle": ["scheduler=one_cycle"],
    "element-wise": ["optimizer=lion"],
    "matrices": ["optimizer=muon"],
    "batch normalization": ["normalization=batch_norm"],
    "dropout": ["regularizer=[dropout]"],
    "clipping": ["regularizer=[gradient_clipping]"],
    "penalty, average": ["regularizer=[l2,weight_averaging]"],
    "accumulation": ["accumulate=2", "regularizer=[gradient_clipping]"],
    "early stopping": ["regularizer=[early_stopping]", "regularizer.early_stopping.patience=1"],
    "float64": ["trainer=cpu", "trainer.precision=64-true"],
    "images": ["model=cnn", "model.channels=[3,5]"],
    "diagnostics": ["diagnostic=[gradient_norm]", "diagnostic.gradient_norm.every=3"],
}


def lines(words: Sequence[str], members: Sequence[Sequence[str]]) -> list[list[str]]:
    base = LINE if any(word.startswith("model=") for word in words) else [*LINE, *MLP]
    return [[*base, *words, *own] for own in members]


def assert_same_bits(words: Sequence[str], members: Sequence[Sequence[str]], fused: bool) -> list[Run]:
    replayed = cohort(lines([*words, "recording=always"], members), fused=fused)
    plain = cohort(lines([*words, "recording=never"], members), fused=fused)
    assert all(same(a, b) for a, b in zip(replayed, plain, strict=True))
    assert {run.state.plain_because for run in plain} == {"recording=never"}
    assert {run.state.plain_because for run in replayed} == {""}
    return replayed


@pytest.mark.parametrize("variant", VARIANTS)
def test_stack_replays_the_bits_of_plain_steps(variant: str) -> None:
    assert_same_bits(VARIANTS[variant], SHARED, fused=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_single_run_replays_the_bits_of_plain_steps(variant: str) -> None:
    assert_same_bits(VARIANTS[variant], SHARED[:1], fused=False)


def test_steps_are_recorded_anew_when_members_leave() -> None:
    members = [["seed=1"], ["seed=2", "optimizer.lr=1e30"], ["seed=3"]]
    runs = assert_same_bits(["optimizer=sgd"], members, fused=True)
    assert [run.state.diverged is not None for run in runs] == [False, True, False]
    beside = cohort(lines(["optimizer=sgd", "recording=always"], members[:1]), fused=True)
    assert same(runs[0], beside[0])


def path(members: Sequence[Sequence[str]], recording: str = "always") -> StackedPath | SinglePath:
    parts, plans, dataset = [], [], None
    for line in lines(["normalization=batch_norm", "scheduler=cosine", f"recording={recording}"], members):
        config = composed(tuple(line)).values
        dataset = dataset or LOADER.load(config).dataset
        values = resolve(config, dataset, catalogue.current())
        plans.append(make_plan(typed_settings(values), dataset, values))
        parts.append(build(values, dataset, plans[-1].total_steps))
    assert dataset is not None
    if len(members) > 1:
        return StackedPath(parts, plans, [dataset] * len(members), CPU)
    return SinglePath(parts[0], plans[0], transformed_splits(dataset), CPU, (0, 1))


def train_epochs(path: StackedPath | SinglePath, epochs: range) -> list[torch.Tensor]:
    losses = []
    for epoch in epochs:
        path.start_epoch(epoch)
        losses.append(path.train(range(path.plan.batches)))
    return losses


@pytest.mark.parametrize("members", [SHARED, SHARED[:1]], ids=["stack", "single"])
def test_resumed_runs_have_the_bits_of_uninterrupted_ones(members: list[list[str]]) -> None:
    plain, first, second = path(members, "never"), path(members), path(members)
    expected = train_epochs(plain, range(8))
    losses = train_epochs(first, range(4))
    second.restore([first.state(row) for row in range(len(members))])
    losses += train_epochs(second, range(4, 8))
    assert second.plain_because == ""
    assert all(torch.equal(a, b) for a, b in zip(losses, expected, strict=True))
    for row in range(len(members)):
        weights, others = second.weights(row), plain.weights(row)
        assert all(torch.equal(weights[name], others[name]) for name in others)


def test_reason_for_plain_steps_is_kept() -> None:
    (run,) = cohort(lines(["optimizer=lbfgs"], [["seed=1"]]), fused=False)
    assert run.state.plain_because == "the optimizer evaluates the loss itself"
    assert all(torch.isfinite(t).all() for t in (run.state.weights or {}).values())


def assert_bits_in_any_stack(variant: str) -> None:
    words = [*VARIANTS[variant], "recording=always"]
    stacks = [cohort(lines(words, [[f"seed={seed}"] for seed in range(size)]), fused=True) for size in (2, 3, 8, 32)]
    for stack in stacks[1:]:
        assert same(stack[0], stacks[0][0])
        assert same(stack[1], stacks[0][1])
    assert same(stacks[3][7], stacks[2][7])


def test_member_has_the_same_bits_in_stacks_of_2_3_8_and_32() -> None:
    assert_bits_in_any_stack("adam")


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "adam"])
def test_member_of_a_variant_has_the_same_bits_in_stacks_of_2_3_8_and_32(variant: str) -> None:
    assert_bits_in_any_stack(variant)


@pytest.mark.parametrize("members", [SHARED[:1], SHARED], ids=["single run", "stack"])
def test_number_of_recordings_does_not_grow_with_epochs(
    members: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings: list[RecordedFunction] = []
    record = RecordedFunction._record

    def counted(self: RecordedFunction, function: Callable[..., Any]) -> Any:
        recordings.append(self)
        return record(self, function)

    monkeypatch.setattr(RecordedFunction, "_record", counted)
    words = [*LINE[:-1], *MLP, "recording=always", "diagnostic=[gradient_norm]"]
    counts = []
    for epochs in (6, 12):
        recordings.clear()
        cohort([[*words, f"epochs={epochs}", *own] for own in members], fused=len(members) > 1)
        counts.append(len(recordings))
    assert counts[0] == counts[1]
