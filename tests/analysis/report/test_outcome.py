"""Tests of the lines on the outcome of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.comparison.model import Chance, Comparison
from harness.analysis.report.outcome import outcome
from harness.analysis.report.summary import sweep_summary
from harness.analysis.report.tally import Tally
from harness.results.record import Record
from harness.system.errors import HarnessError
from tests.cli.sweeps import ended
from tests.helpers.comparing import install
from tests.helpers.comparisons import HOSTILE, hostile_names, many_data_sets, one_data_set, single_seed


def lines_of(records: Sequence[Record], width: int | None = None) -> list[str]:
    """Return the outcome of runs."""
    tally = Tally()
    for record in records:
        tally.add(record)
    return outcome(records, tally.best.values(), width)


RUNS = [ended(n, value=0.5 + n / 100) for n in range(3)]
SINGLE = (
    "  best      val/accuracy 0.52  regularizer=[l2,dropout],seed=2,epochs=2  highest of 3 single runs, which says "
    "nothing about seeds"
)


def test_best_is_the_best_arm_by_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = one_data_set()
    calls = install(monkeypatch, comparison)
    arm = comparison.tables[0].arms[0]
    assert lines_of(RUNS) == [
        f"  verdict   {comparison.verdict[0]}",
        f"  best      test/accuracy {f'{arm.mean:.4f}'.lstrip('0')}  adam,relu  mean of 10 splits",
    ]
    assert calls == [{"records": RUNS, "study": None}]  # a look is spent, as in any report


def test_best_arm_that_is_no_better_than_a_constant_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = one_data_set()
    tables = [replace(comparison.tables[0], chance=Chance(0.999, "answering 'no' always scores .9990"))]
    install(monkeypatch, replace(comparison, tables=tables))
    assert lines_of(RUNS)[1].endswith("adam,relu  mean of 10 splits, no better than a constant prediction")


def test_comparison_knows_the_study_of_the_sweep(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, one_data_set())
    (workdir / "outputs" / "s").mkdir(parents=True)
    lines_of(RUNS)
    assert calls[0]["study"] == Path("outputs/s")


def test_every_data_set_has_its_best_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = many_data_sets(data_sets=12)
    install(monkeypatch, comparison)
    lines = lines_of(RUNS)
    best = [line for line in lines if line.startswith("  best")]
    assert len(best) == 10
    for line, table in zip(best, comparison.tables, strict=False):
        assert f" on {table.data}  {table.arms[0].name}  mean of 5 splits" in line
    assert lines[-1] == "  and 2 more data sets: see the report"


@pytest.mark.parametrize("change", ["single seed", "one run", "nothing completed"])
def test_single_runs_say_nothing_about_seeds(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = single_seed()
    install(monkeypatch, comparison)
    if change == "single seed":
        assert lines_of(RUNS) == [SINGLE, f"  seeds     {comparison.more}"]
    elif change == "one run":
        assert lines_of(RUNS[:1]) == ["  best      val/accuracy 0.5  regularizer=[l2,dropout],seed=0,epochs=2"]
    else:
        assert lines_of([ended(n, "failed") for n in range(3)]) == []


def test_lowest_loss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, single_seed())
    best = {"val/loss": {"value": 0.1, "epoch": 0, "higher_is_better": False}}
    more: dict[str, Any] = {"config": {"objective": "val/loss"}, "metrics": {"val/loss": 0.1}, "best": best}
    line, _ = lines_of([ended(n, **more) for n in range(2)])
    assert line.endswith("lowest of 2 single runs, which says nothing about seeds")


def test_seeds_without_factors_have_one_line_with_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = one_data_set()
    table = comparison.tables[0]
    arm = replace(table.arms[0], mean=0.9731, low=0.9701, high=0.9761)
    install(monkeypatch, replace(comparison, factors={}, tables=[replace(table, arms=[arm], differences=[])]))
    assert lines_of(RUNS) == ["  mean      test/accuracy .9731  mean of 10 splits, [.9701, .9761]"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (HarnessError("no metric in common"), "  verdict   no metric in common"),
        (KeyError("a"), "  verdict   the comparison failed: KeyError: 'a'"),
        (RecursionError("deep\nhole"), "  verdict   the comparison failed: RecursionError: deep hole"),
    ],
)
def test_comparison_that_fails_is_one_line(error: Exception, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, error)
    assert lines_of(RUNS) == [SINGLE, line]


def test_interrupt_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(KeyboardInterrupt):
        pass

    def compare(*_: Any, **__: Any) -> Comparison:
        raise Stop

    monkeypatch.setattr("harness.analysis.report.outcome._compare", compare)
    with pytest.raises(Stop):
        lines_of(RUNS)


def test_names_are_shortened_and_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = hostile_names()
    table = comparison.tables[0]
    arms = [replace(table.arms[0], name=HOSTILE[-1]), *table.arms[1:]]
    install(monkeypatch, replace(comparison, verdict=["\x1b[31m" + HOSTILE[5]], tables=[replace(table, arms=arms)]))
    text = sweep_summary(RUNS, width=80)
    assert not set("\x1b\u202e") & set(text)
    (line,) = (line for line in text.splitlines() if line.startswith("  best"))
    assert len(line) <= 80
    assert "…" in line
