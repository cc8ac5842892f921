"""The published benchmarks: their runs are complete, their tables are those of the runs, and a run can be repeated."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

from docs import published
from harness.config.overrides import expand

NAMES = published.names()
NONE = {"[]": "none"}


def where(words: list[str]) -> dict[str, str]:
    """Return the keys and values of `--where KEY=VALUE`."""
    pairs = [word.partition("=") for before, word in itertools.pairwise(words) if before == "--where"]
    return {key: value for key, _, value in pairs}


def means(name: str, words: list[str]) -> dict[tuple[str, str], float]:
    """Return the mean accuracy of each arm on each data set; the data set "" is the mean over data sets."""
    by = words[words.index("--by") + 1]
    found = defaultdict(list)
    for run in published.runs(name):
        if all(run[key] == value for key, value in where(words).items()):
            arm = NONE.get(run[by], run[by].strip("[]"))
            found[arm, run["data"]].append(float(run["test/accuracy"]))
    table = {key: statistics.fmean(values) for key, values in found.items()}
    arms = {arm for arm, _ in table}
    over = {(arm, ""): statistics.fmean(mean for (a, _), mean in table.items() if a == arm) for arm in arms}
    return table | over


def cells(block: str) -> list[list[str]]:
    """Return the cells of a Markdown table, without its rule."""
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def test_benchmarks_are_published() -> None:
    assert {"activations", "initializers", "optimizers", "regularizers"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_published_runs_are_those_of_the_experiment(name: str) -> None:
    params = published.experiment(name)["hydra"]["sweeper"]["params"]
    jobs = expand([f"{key}={value}" for key, value in params.items()])
    rows = [[f"{key}={run[key]}" for key in params] for run in published.runs(name)]
    assert sorted(map(tuple, rows)) == sorted(map(tuple, jobs))
    assert (published.FOLDER / f"{name}.csv").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_the_runs(name: str) -> None:
    page = (published.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    compared = 0
    for match in published.BLOCK.finditer(page):
        if match["kind"] == "winners":
            continue
        words = match["report"].split()
        assert f"\n{published.shown(words)}\n" in match[0]
        assert words[0] == published.experiment(name)["study"]
        header, *rows = cells(match[0])
        for column, some in published.columns(words).items():
            expected = means(name, some)
            for (arm, data), mean in expected.items():
                at = {"over": "mean accuracy", "each": data, "cells": column}[match["kind"]]
                if (match["kind"] == "each") != (data != ""):
                    continue
                (row,) = [row for row in rows if row[0] == arm]
                assert float(row[header.index(at)].split()[0]) == pytest.approx(mean, abs=5.1e-5, rel=0)
                compared += 1
    assert compared >= 40


@pytest.mark.slow
def test_ten_published_runs_are_repeated(workdir: Path) -> None:
    # equal bits on the machine of the published runs; elsewhere rounding grows over the steps of a run
    for command, run, metrics in published.repeated(10, seed=len(published.runs("activations"))):
        assert metrics["test/accuracy"] == pytest.approx(float(run["test/accuracy"]), abs=0.1, rel=0), command
