"""Tests of tables: fitted to a terminal, plain lines in a pipe or with many rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from harness.analysis.report.table import FITTED, aligned, render

words = st.text(st.sampled_from("ab[/]é値 "), max_size=6).map(str.strip)


@given(st.lists(st.tuples(words, words, words), max_size=5))
def test_columns_are_aligned(rows: list[tuple[str, str, str]]) -> None:
    header, *lines = aligned(["run", "loss", "end"], rows, numeric=["loss"])
    second = max([len("run"), *(cell_len(row[0]) for row in rows)]) + 2
    end = second + max([len("loss"), *(cell_len(row[1]) for row in rows)])
    assert header.index("loss") + len("loss") == end
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(row[0])
        assert line.endswith(row[2])
        assert line.split() == " ".join(row).split()
        if row[2]:
            assert cell_len(line) == end + 2 + cell_len(row[2])
        elif row[1]:
            assert cell_len(line) == end


def test_short_table_is_fitted_to_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = [["x" * 40, "[l2]"]]
    render(["run", "kind"], rows)
    assert capsys.readouterr().out == f"run{' ' * 39}kind\n{'x' * 40}  [l2]\n"
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    render(["run", "kind"], rows * FITTED)
    fitted = capsys.readouterr().out
    assert "[l2]" in fitted
    assert "x" * 40 not in fitted  # it is folded
    render(["run", "kind"], rows * (FITTED + 1))
    assert capsys.readouterr().out.splitlines()[1:] == [f"{'x' * 40}  [l2]"] * (FITTED + 1)


def test_ten_thousand_rows_are_aligned() -> None:
    rows = [[f"seed={i}", "completed", f"{i:.4f}"] for i in range(10_000)]
    lines = aligned(["run", "status", "loss"], rows, ["loss"])
    assert len(lines) == 10_001
    assert {cell_len(line) for line in lines} == {cell_len(lines[-1])}


def test_empty_table_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    render(["run", "status"], [])
    assert capsys.readouterr().out == "run  status\n"
