"""Tests of failures in a cohort: fail_fast ends a stack at the first failing member."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.config.composition import compose
from harness.execution import cohort as attempt
from harness.execution.cohort import CohortPlan, train_cohort
from harness.execution.preparation import Preparation, prepare
from harness.execution.run_recorder import RunRecorder
from harness.modeling.builder import RunComponents
from harness.results.record import Record
from harness.training.vectorized.param_group import StackedGroup

TINY = ["model=mlp", "model.width=8", "epochs=3", "optimizer=sgd"]
STEP = 24  # in the second epoch of three
OWN = ("failed", "ZeroDivisionError")
LEFT = ("interrupted", "FailFast")


class Stopped(KeyboardInterrupt):
    """A component's own interrupt, which is not the user's Ctrl-C."""


class Odd(BaseException):
    """An exception that does not derive from Exception."""


def sabotage(
    monkeypatch: pytest.MonkeyPatch,
    seeds: Sequence[int],
    once: bool = False,
    error: type[BaseException] = ZeroDivisionError,
) -> None:
    """Make optimizers of runs with some seeds raise at a step; with `once`, their first optimizers only."""
    whole, tries = attempt.build_parts, dict.fromkeys(seeds, 0)

    def build_parts(prepared: Any, *rest: Any) -> RunComponents:
        parts, seed = whole(prepared, *rest), prepared.values["seed"]
        if seed not in seeds or (once and tries[seed]):
            return parts
        tries[seed] += 1
        make = parts.optimizer

        def optimizer(**offers: Any) -> torch.optim.Optimizer:
            made, count = make(**offers), itertools.count()
            step = made.step

            def stepped(*args: Any) -> Any:
                if next(count) == STEP:
                    raise error("sabotage")
                return step(*args)

            made.step = stepped  # type: ignore[method-assign]
            return made

        parts.optimizer = optimizer
        return parts

    monkeypatch.setattr(attempt, "build_parts", build_parts)


def trained(count: int, forced: bool, own: bool = True, line: Sequence[str] = ("fail_fast=true",)) -> list[Record]:
    """Train a stack of runs, with an optimizer each or one for all; return the records."""
    preparation = Preparation()
    lines = [[*TINY, *line, f"seed={i}", f"optimizer.lr={0.1 + 0.01 * i * own}"] for i in range(count)]
    members = [preparation.prepare(compose(one)) for one in lines]
    result = train_cohort(members, CohortPlan("fused", "a test", forced=forced))
    assert None not in result
    return [record for record in result if record is not None]


def endings(records: Sequence[Record]) -> list[tuple[str, str]]:
    return [(record.status, record.error["type"] if record.error else "") for record in records]


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize(("count", "bad"), [(2, 0), (2, 1), (3, 1), (4, 3), (5, 0)])
def test_fail_fast_stops_the_other_members(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, count: int, bad: int, forced: bool
) -> None:
    sabotage(monkeypatch, [bad])
    records = trained(count, forced)
    assert endings(records) == [OWN if place == bad else LEFT for place in range(count)]
    assert {record.time["epochs"] for record in records} == {1}
    assert {r.folder.absolute(): (r.status, r.error) for r in harness.load("scratch")} == {
        r.folder: (r.status, r.error) for r in records
    }


def test_fail_fast_records_one_of_several_failures(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch, [1, 2])
    assert endings(trained(4, forced=True)) == [LEFT, OWN, LEFT, LEFT]


def test_fail_fast_retries_only_the_first_run_of_a_shared_optimizer(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, range(3))
    records = trained(3, forced=True, own=False)
    assert sorted(endings(records)) == sorted([OWN, LEFT, LEFT])


@pytest.mark.parametrize("count", [2, 4])
def test_stack_continues_if_the_failing_run_succeeds_alone(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    sabotage(monkeypatch, [1], once=True)
    records = trained(count, forced=False)
    assert endings(records) == [("completed", "")] * count
    assert [r.cohort["path"] for r in records] == ["fused", "alone", *["fused"] * (count - 2)]
    monkeypatch.undo()
    monkeypatch.chdir(workdir)
    undisturbed = trained(count, forced=False, line=["fail_fast=true", "study=undisturbed"])
    assert all(a.metrics == b.metrics for i, (a, b) in enumerate(zip(records, undisturbed, strict=True)) if i != 1)


def test_without_fail_fast_the_other_members_complete(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch, [1])
    records = trained(3, forced=True, line=[])
    assert endings(records) == [("completed", ""), OWN, ("completed", "")]


@pytest.mark.parametrize("error", [SystemExit, Stopped, GeneratorExit, Odd])
def test_base_exception_fails_only_the_run_that_raises_it(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    sabotage(monkeypatch, [1], error=error)
    records = trained(4, forced=True, line=[])
    raised = ("failed", error.__name__)
    assert endings(records) == [raised if place == 1 else ("completed", "") for place in range(4)]


@pytest.mark.parametrize(("error", "forced"), [(Odd, True), (Stopped, False)])
def test_base_exception_of_a_shared_optimizer_does_not_affect_the_others(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], forced: bool
) -> None:
    sabotage(monkeypatch, [0], error=error)  # the first of the group makes the shared optimizer
    shared: list[int] = []
    step = StackedGroup._step

    def noted(self: StackedGroup, *args: Any) -> None:
        shared.extend(section.stop - section.start for section in self.sections)
        step(self, *args)

    monkeypatch.setattr(StackedGroup, "_step", noted)
    records = trained(4, forced=forced, own=False, line=[])
    assert shared[0] == 4
    assert endings(records) == [("failed", error.__name__), *[("completed", "")] * 3]
    monkeypatch.undo()
    monkeypatch.chdir(workdir)
    undisturbed = trained(4, forced=True, own=False, line=["study=undisturbed"])
    assert [a.metrics for a in records[1:]] == [b.metrics for b in undisturbed[1:]]


@pytest.mark.parametrize("error", [SystemExit, Stopped, GeneratorExit, Odd])
def test_base_exception_of_a_run_alone_is_its_failure(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    sabotage(monkeypatch, [0], error=error)
    preparation = Preparation()
    members = [preparation.prepare(compose([*TINY, f"seed={seed}"])) for seed in range(2)]
    records = [record for record in train_cohort(members, CohortPlan()) if record is not None]
    assert endings(records) == [("failed", error.__name__), ("completed", "")]


def test_base_exception_of_a_callback_fails_only_its_run(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RunRecorder.on_epoch_end

    def raising(self: RunRecorder, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        if self.spec.values["seed"] == 2:
            raise Odd("sabotage")
        whole(self, metrics, step, epoch)

    monkeypatch.setattr(RunRecorder, "on_epoch_end", raising)
    assert endings(trained(3, forced=True, line=[])) == [("completed", ""), ("completed", ""), ("failed", "Odd")]


def test_ctrl_c_interrupts_a_stack(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch, [1], error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(3, forced=True, line=[])
    assert {record.status for record in harness.load("scratch")} == {"interrupted"}


def test_run_completed_by_another_launch_in_another_word_order_is_found(workdir: Path) -> None:
    words = ["model=mlp", "model.width=8", "epochs=1", "save=none"]
    first, second = (prepare(compose(line)) for line in (words, words[::-1]))  # neither knows of the other's run
    assert first.record.id == second.record.id
    assert first.record.folder != second.record.folder
    (trained,) = train_cohort([first], CohortPlan())
    (cached,) = train_cohort([second], CohortPlan())
    assert trained is not None
    assert cached is not None
    assert cached.cached
    assert cached.folder == trained.folder
    assert [path.parent for path in Path("outputs").absolute().rglob("record.json")] == [trained.folder]
