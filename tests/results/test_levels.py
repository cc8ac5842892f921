"""Tests of the values that keys have in runs, and of the natural order of runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.results.levels import MISSING, in_natural_order, level, natural_key, setting
from harness.results.record import Record, write


def record(name: str, values: dict[str, Any] | None = None, study: str = "s", **more: Any) -> Record:
    """A record whose folder is in a study."""
    swept = {"swept": list(values or {}), "swept_values": values or {}}
    return Record("0" * 12, name, study, **swept | more, folder=Path("outputs") / study / name)


@pytest.mark.parametrize(
    "texts",
    [
        ["lr=1e-4", "lr=1e-3", "lr=0.01", "lr=.5", "lr=2", "lr=10"],
        ["x=-2", "x=-1.5", "x=0", "x=3"],
        ["resnet18", "resnet18-a", "resnet50", "resnet101"],
        ["v1.2.9", "v1.2.10"],
        ["layer.2", "layer.10"],
        ["", "a", "a1", "b"],
        ["2024-01-09", "2024-01-10", "2024-02-01"],
    ],
)
def test_texts_are_sorted_with_numbers_by_value(texts: list[str]) -> None:
    assert sorted([*texts[2:], *texts[:2]], key=natural_key) == texts


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(MISSING)


@settings(deadline=None)
@given(st.lists(scalars | st.lists(scalars, max_size=3), max_size=6))
def test_any_values_can_be_sorted(values: list[Any]) -> None:
    keys = sorted(map(natural_key, values))
    assert all(a <= b for a, b in itertools.pairwise(keys))


def test_runs_are_sorted_by_swept_values_before_their_names() -> None:
    runs = [
        record("seed=10,optimizer=sgd", {"optimizer": "sgd", "seed": 10}),
        record("seed=2,optimizer=sgd", {"optimizer": "sgd", "seed": 2}),
        record("optimizer=adam,seed=9", {"optimizer": "adam", "seed": 9}),
    ]
    assert [run.name[:8] for run in in_natural_order(runs)] == ["optimize", "seed=2,o", "seed=10,"]


def test_runs_without_a_sweep_are_sorted_by_study_and_name() -> None:
    runs = [
        record(f"lr={lr},seed={seed}", study=f"s{s}") for s in (10, 9) for lr in ("1e-3", "1e-4") for seed in (10, 2)
    ]
    names = ["lr=1e-4,seed=2", "lr=1e-4,seed=10", "lr=1e-3,seed=2", "lr=1e-3,seed=10"]
    assert [(run.study, run.name) for run in in_natural_order(runs)] == [(s, n) for s in ("s9", "s10") for n in names]


def test_load_sorts_runs(tmp_path: Path) -> None:
    for seed in (10, 9, 1):
        folder = tmp_path / f"seed={seed}-{seed:012x}"
        folder.mkdir()
        write(Record(f"{seed:012x}", f"seed={seed}", "s", swept=["seed"], swept_values={"seed": seed}, folder=folder))
    assert [run.swept_values["seed"] for run in harness.load(tmp_path)] == [1, 9, 10]


def test_level_is_hashable_and_prefers_the_name_that_was_typed() -> None:
    config = {
        "optimizer": {"_component_": "sgd", "betas": [0.9, [1, {"a": 2}]]},
        "regularizer": {"l2": {"_component_": "l2", "strength": 0.1}, "dropout": {"_component_": "dropout"}},
        "augmentation": {},
        "trainer": {"precision": None},
    }
    run = record("x", {"optimizer": "slow_sgd", "experiment": ["a", "b"]}, config=config)
    expected = {
        "optimizer": "slow_sgd",
        "optimizer.betas": (0.9, (1, "{'a': 2}")),
        "regularizer": "l2+dropout",
        "regularizer.l2.strength": 0.1,
        "regularizer.l1.strength": MISSING,
        "augmentation": "none",
        "experiment": "a+b",
        "trainer.precision": None,
        "trainer": MISSING,
        "seed": MISSING,
        "optimizer.betas.x": MISSING,
    }
    assert {key: level(run, key) for key in expected} == expected
    assert len({level(run, key) for key in expected}) == 8
    assert setting(config, "regularizer") == ["l2", "dropout"]
