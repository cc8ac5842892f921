"""Tests of preparation: what the jobs of a sweep share is computed once, and changes nothing."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

import harness
from harness.config.composition import _compose_with_hydra, compose
from harness.config.composition_cache import Compositions
from harness.config.job import Job
from harness.execution import preparation
from harness.execution.preparation import Preparation, prepare
from harness.modeling import builder
from harness.modeling.profile import Probe
from harness.system.errors import HarnessError
from harness.system.session import Session

SEEDS = [["data=iris", "optimizer.lr=0.1", f"seed={seed}"] for seed in range(4)]
OTHERS = [["data=iris", "optimizer.lr=0.2", "seed=1"], ["data=iris", "split.seed=${seed}", "seed=5"]]


def jobs(lines: list[list[str]]) -> list[Job]:
    """Compose jobs as a sweep does."""
    compositions = Compositions(functools.partial(_compose_with_hydra, config_dir=None))
    return [compositions.job(line) for line in lines]


def test_jobs_that_differ_in_their_seed_are_resolved_once(workdir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[int] = []
    whole = preparation.resolve

    def resolve(values: dict[str, Any], *rest: Any) -> dict[str, Any]:
        resolved.append(values["seed"])
        return whole(values, *rest)

    monkeypatch.setattr(preparation, "resolve", resolve)
    shared = Preparation()
    for job in jobs(SEEDS + OTHERS):
        shared.prepare(job)
    assert resolved == [0, 1, 5]


def test_model_is_probed_once_for_all_optimizers(workdir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    whole = builder.probe

    def probe(model: nn.Module, sample: Tensor) -> Probe:
        widths.append(next(model.parameters()).shape[0])
        return whole(model, sample)

    monkeypatch.setattr(builder, "probe", probe)
    model = ["data=iris", "model=mlp"]
    lines = [[*model, f"model.width={width}", f"optimizer.lr={lr}"] for width in (3, 5) for lr in (0.1, 0.2)]
    with Session():
        specs = [Preparation().prepare(job) for job in jobs(lines)]
    assert widths == [3, 5]
    assert specs[0].probe == specs[1].probe != specs[2].probe == specs[3].probe


def test_job_is_prepared_the_same_in_company(workdir: Any) -> None:
    shared = Preparation()
    lines = SEEDS + OTHERS
    together = [shared.prepare(job) for job in jobs(lines)]
    alone = [prepare(compose(line)) for line in lines]
    assert len({spec.record.id for spec in together}) == len(lines)
    for one, other in zip(together, alone, strict=True):
        assert replace(one.record, command="") == replace(other.record, command="")
        assert (one.record.folder, one.plan, one.directions) == (other.record.folder, other.plan, other.directions)


def test_choice_without_use_is_refused_for_a_later_job_too(workdir: Any) -> None:
    shared = Preparation()
    first, second = jobs([["data=iris", "model=logistic_regression", f"seed={seed}"] for seed in range(2)])
    shared.prepare(first)
    with pytest.raises(HarnessError, match=r"optimizer"):
        shared.prepare(replace(second, overrides=[*second.overrides, "optimizer=sgd"]))


@pytest.mark.parametrize(
    ("words", "warned"),
    [(["split.seed=3"], True), (["split.test=0.3"], True), ([], False), (["corruption=[noisy_inputs]"], False)],
    ids=str,
)
def test_weights_of_another_division_of_the_data_are_warned_of(words: list[str], warned: bool, workdir: Path) -> None:
    run = harness.run(["data=iris", "epochs=1", "study=first"])
    continued = harness.run(["data=iris", "epochs=1", f"init_from={run.folder}", *words])
    for record in (continued, harness.evaluate(run, words)):
        assert any("had another division of this data" in line for line in record.warnings) is warned


def test_weights_of_other_data_are_not_warned_of(workdir: Path) -> None:
    for name in ("a", "b"):
        rows = [f"{n},{n * n},{n % 2}" for n in range(40)]
        (workdir / f"{name}.csv").write_text("\n".join([f"x,{name},y", *rows, ""]))
    words = ["data=csv", "data.target=y", "epochs=1", "batch_size=8"]
    run = harness.run([*words, "data.path=a.csv", "study=first"])
    other = harness.run([*words, "data.path=b.csv", "split.seed=3", f"init_from={run.folder}"])
    assert other.status == "completed"
    assert not other.warnings
