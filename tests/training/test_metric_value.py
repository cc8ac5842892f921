"""Tests of exact shares: a recorded share of k out of n samples is k/n, by every path and on every split."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassPrecision, MulticlassRecall
from torchmetrics.wrappers import MinMaxMetric

import harness
from harness.results.record import Record
from harness.training.metric_value import metric_value, with_float64_states
from harness.training.vectorized.metric import StackedMetric
from tests.plugins.components.helpers import make

CLASSES = 3
Counts = list[list[int]]  # samples of each class (row) that were predicted as each class (column)
COUNTS = st.lists(
    st.lists(st.integers(0, 40), min_size=CLASSES, max_size=CLASSES), min_size=CLASSES, max_size=CLASSES
).filter(lambda rows: all(map(sum, rows)) and all(map(sum, zip(*rows, strict=True))))
SPLITS = ("val", "test")


def samples(counts: Counts) -> tuple[Tensor, Tensor]:
    """Logits [N, C] and classes [N] with these counts."""
    pairs = [(true, said) for true, row in enumerate(counts) for said, n in enumerate(row) for _ in range(n)]
    target, decision = torch.tensor(pairs).T
    return torch.nn.functional.one_hot(decision, CLASSES).float(), target


def micro(counts: Counts) -> Fraction:
    return Fraction(sum(counts[c][c] for c in range(CLASSES)), sum(map(sum, counts)))


def mean(shares: list[Fraction]) -> Fraction:
    return sum(shares, Fraction(0)) / len(shares)


def recalls(counts: Counts) -> list[Fraction]:
    return [Fraction(row[c], sum(row)) for c, row in enumerate(counts)]


def precisions(counts: Counts) -> list[Fraction]:
    return [Fraction(column[c], sum(column)) for c, column in enumerate(zip(*counts, strict=True))]


def f1_scores(counts: Counts) -> list[Fraction]:
    columns = list(zip(*counts, strict=True))
    return [Fraction(2 * counts[c][c], sum(counts[c]) + sum(columns[c])) for c in range(CLASSES)]


def built_in(name: str, **settings: str) -> Callable[[], torchmetrics.Metric]:
    return lambda: make("metric", name, settings, num_classes=CLASSES)


SHARES: dict[str, tuple[Callable[[], torchmetrics.Metric], Callable[[Counts], Fraction]]] = {
    "accuracy": (built_in("accuracy"), micro),
    "f1 micro": (built_in("f1", average="micro"), micro),
    "recall micro": (lambda: MulticlassRecall(CLASSES, average="micro"), micro),
}
MEANS: dict[str, tuple[Callable[[], torchmetrics.Metric], Callable[[Counts], Fraction]]] = {
    "accuracy macro": (built_in("accuracy", average="macro"), lambda c: mean(recalls(c))),
    "balanced_accuracy": (built_in("balanced_accuracy"), lambda c: mean(recalls(c))),
    "f1 macro": (built_in("f1"), lambda c: mean(f1_scores(c))),
    "precision macro": (lambda: MulticlassPrecision(CLASSES), lambda c: mean(precisions(c))),
}


@pytest.mark.parametrize("name", list(SHARES))
@settings(max_examples=60, deadline=None, derandomize=True)
@given(counts=COUNTS, size=st.integers(1, 70))
def test_share_is_the_nearest_float64_alone_and_stacked(name: str, counts: Counts, size: int) -> None:
    new, expected = SHARES[name]
    logits, target = samples(counts)
    alone, stacked = new(), StackedMetric(new, 2, torch.device("cpu"))
    for z, y in zip(logits.split(size), target.split(size), strict=True):
        alone.update(z, y)
        stacked.update(torch.stack([z, -z]), torch.stack([y, y]))
    assert metric_value(alone) == float(expected(counts))
    assert stacked.compute()[0] == float(expected(counts))


@pytest.mark.parametrize("name", list(MEANS))
@settings(max_examples=40, deadline=None, derandomize=True)
@given(counts=COUNTS, size=st.integers(1, 70))
def test_mean_of_shares_is_computed_in_float64(name: str, counts: Counts, size: int) -> None:
    new, expected = MEANS[name]
    logits, target = samples(counts)
    alone, stacked = new(), StackedMetric(new, 2, torch.device("cpu"))
    for z, y in zip(logits.split(size), target.split(size), strict=True):
        alone.update(z, y)
        stacked.update(torch.stack([z, -z]), torch.stack([y, y]))
    value = metric_value(alone)
    assert value == pytest.approx(float(expected(counts)), rel=1e-14, abs=0)
    assert stacked.compute()[0] == value


@settings(max_examples=60, deadline=None, derandomize=True)
@given(scores=st.lists(st.integers(-3, 3), min_size=4, max_size=60), bits=st.lists(st.booleans(), min_size=60))
def test_auroc_is_the_share_of_pairs_in_the_right_order(scores: list[int], bits: list[bool]) -> None:
    labels = [True, False, *bits[: len(scores) - 2]]
    metric = make("metric", "binary_auroc", num_classes=2)
    for score, label in zip(scores, labels, strict=True):
        metric.update(torch.tensor([[float(score)]]), torch.tensor([[float(label)]]))
    positive, negative = (
        [s for s, label in zip(scores, labels, strict=True) if label is want] for want in (True, False)
    )
    halves = sum(2 * (a > b) + (a == b) for a in positive for b in negative)
    assert metric_value(metric) == float(Fraction(halves, 2 * len(positive) * len(negative)))


def test_auroc_of_scores_that_are_nan_is_nan() -> None:
    metric = make("metric", "binary_auroc", num_classes=2)
    metric.update(torch.tensor([[0.5], [float("nan")]]), torch.tensor([[0.0], [1.0]]))
    assert metric_value(metric) != metric_value(metric)


def test_metric_within_a_wrapper_is_computed_in_float64_and_can_be_reset() -> None:
    wrapped = built_in("accuracy")()
    metric = MinMaxMetric(wrapped)
    metric.update(*samples([[1, 1, 1], [1, 1, 1], [1, 1, 1]]))
    assert float(with_float64_states(metric).compute()["raw"]) == 1 / 3
    metric.reset()
    assert {state.dtype for state in wrapped.metric_state.values()} == {torch.int64}


def exact(record: Record, metric: str = "accuracy") -> bool:
    """True if every recorded share of a split, and the best one, is k/n of its samples."""
    assert record.status == "completed"
    shares = [(record.metrics[f"{split}/{metric}"], record.data[split]) for split in SPLITS]
    shares.append((record.best[f"val/{metric}"]["value"], record.data["val"]))
    return all(share == round(share * n) / n for share, n in shares)


LINE = ["logger=[]", "diagnostic=[]", "save=none"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("accuracy", "epochs=2 split.test=0.13 split.val=0.11"),
        ("accuracy", "epochs=2 trainer.precision=bf16-mixed accumulate=3"),
        ("accuracy", "epochs=2 trainer.precision=bf16-true"),
        ("accuracy", "model=nearest_neighbour data=iris"),
        ("binary_accuracy", "epochs=2 data=breast_cancer task=binary_classification"),
        ("exact_match", "epochs=2 data=topics metric=[exact_match]"),
    ],
)
def test_recorded_accuracy_is_k_of_n(workdir: object, metric: str, words: str) -> None:
    assert exact(harness.run([*LINE, *words.split()]), metric)


def test_recorded_accuracy_of_a_stack_is_k_of_n_and_that_of_a_run_alone(workdir: object) -> None:
    fused, alone = (
        harness.sweep([*LINE, "epochs=2", "optimizer=sgd,adam", "seed=0,1", f"path={path}", f"study={path}"])
        for path in ("fused", "alone")
    )
    assert {record.cohort["path"] for record in fused} == {"fused"}
    assert all(map(exact, [*fused, *alone]))
    assert [r.metrics["test/accuracy"] for r in fused] == [r.metrics["test/accuracy"] for r in alone]
