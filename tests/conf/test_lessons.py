"""Tests of the lessons: each shows its problem in the first variant, and the cures in the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean

import pytest

import harness
from harness.config.composition import conf_dir

LESSONS = sorted(path.stem for path in (conf_dir() / "experiment").glob("lesson_*.yaml"))
VARIANTS = 4
Measure = Callable[[harness.Record], float]


def variants(name: str, *words: str) -> list[list[harness.Record]]:
    """Train a lesson; return the records of each variant, the problem first."""
    records = list(harness.sweep([f"experiment={name}", *words]))
    assert [record.status for record in records] == ["completed"] * len(records)
    each = len(records) // VARIANTS
    return [records[first : first + each] for first in range(0, len(records), each)]


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_runs_with_a_problem_and_three_cures(name: str, workdir: Path) -> None:
    problem, *cures = variants(name, "seed=0", "epochs=1")
    assert len(cures) == VARIANTS - 1
    assert (problem[0].study, len({record.id for record, *_ in (problem, *cures)})) == (name, VARIANTS)


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_is_explained_in_both_languages(name: str) -> None:
    for page in ("lessons.md", "lessons-ko.md"):
        assert f"experiment={name}" in (conf_dir().parent / "docs/tutorial" / page).read_text(encoding="utf-8")


def curve(tag: str, place: int) -> Measure:
    return lambda record: [value for _, _, name, value in harness.read_curves(record) if name == tag][place]


def accuracy(record: harness.Record) -> float:
    return record.metrics["test/accuracy"]


def rise(record: harness.Record) -> float:
    """Return how far the loss of validation ends above its minimum."""
    return record.metrics["val/loss"] - record.best["val/loss"]["value"]


DEAD = curve("dead_units/hidden.layer0.1.activation/dead", -1)
# {lesson: [(measure, the problem is below, each cure is above)]}
SEEN: dict[str, list[tuple[Measure, float, float]]] = {
    "lesson_vanishing_gradients": [(curve("activation_gradient/first_to_last", 0), 1e-4, 0.05), (accuracy, 0.4, 0.7)],
    "lesson_dying_relu": [(lambda record: -DEAD(record), -0.3, -0.1), (accuracy, 0.85, 0.87)],
    "lesson_overfitting": [(lambda record: -rise(record), -0.08, -0.07), (accuracy, 0.875, 0.875)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_problem_is_seen_and_cured(name: str, workdir: Path) -> None:
    problem, *cures = variants(name)
    for measure, below, above in SEEN[name]:
        assert mean(map(measure, problem)) < below
        for cure in cures:
            assert mean(map(measure, cure)) > above
