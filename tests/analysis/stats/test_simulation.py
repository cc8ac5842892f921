"""Tests of error rates, coverage and power, by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.stats.simulation import EXPERIMENTS, Result, table

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "statistics.md"


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.__name__)
def test_simulated_rates_are_in_the_required_range(experiment: Callable[[], Iterator[Result]]) -> None:
    results = list(experiment())
    assert any(result.required for result in results)
    assert not [result for result in results if not result.holds]
    printed, documented = (_rows(text) for text in (table(results), PAGE.read_text(encoding="utf-8")))
    for row, values in printed.items():
        np.testing.assert_allclose(documented[row], values, rtol=0.05, atol=0.005, err_msg=str(row))


def _rows(text: str) -> dict[tuple[str, str], list[float]]:
    """Return the figures of a table in Markdown by the first two cells of their row."""
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.count("|") == 5]
    return {(row[1], row[2]): [float(x) for x in row[3].split(",")] for row in rows if row[3][:1].isdigit()}


def test_table_shows_the_required_range() -> None:
    results = [
        Result("power", "d = 1", 0.9412, low=0.92),
        Result("coverage", "normal", 0.93, 0.94, 0.96, n=5),
        Result("coverage", "normal", 0.95, 0.94, 0.96, n=10),
    ]
    assert [result.holds for result in results] == [True, False, True]
    assert table(results).splitlines()[2:] == [
        "| power | d = 1 | 0.941 | at least 0.92 |",
        "| coverage | normal, n = 5, 10 | 0.930, 0.950 | 0.94 to 0.96 |",
    ]
