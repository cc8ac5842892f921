"""Tests of `harness.report`."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest

import harness
from harness import HarnessError
from harness.results.record import Record, write
from tests.helpers.comparing import install
from tests.helpers.comparisons import builders, one_data_set, two_factors, with_failures

BUILDERS = builders()


@pytest.fixture
def study(workdir: Path) -> Path:
    """A study of two runs."""
    folder = workdir / "outputs" / "ab"
    for seed in range(2):
        run = folder / f"seed={seed}"
        run.mkdir(parents=True)
        write(Record(f"{seed:012x}", f"seed={seed}", "ab", "completed", folder=run), durable=False)
    return folder


def test_arguments_are_handed_to_the_comparison(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, one_data_set())
    result = harness.report(
        "ab", by="optimizer", metric="test/loss", baseline="adam", where="seed=1", margin=0.01, planned=20,
        scope="population",
    )  # fmt: skip
    (call,) = calls
    assert [record.id for record in call.pop("records")] == ["000000000000", "000000000001"]
    assert call == {
        "study": study, "by": ["optimizer"], "metric": "test/loss", "baseline": "adam", "where": ["seed=1"],
        "margin": 0.01, "planned": 20, "scope": "population", "curves": False,
    }  # fmt: skip
    assert repr(result) == "Report('ab', test/accuracy, 4 arms, 40 runs)"


def test_records_name_their_study(study: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, one_data_set())
    records = harness.load(study)
    harness.report(records[:1])
    harness.report([*records, Record("f" * 12, "a", "other", folder=workdir / "outputs" / "other" / "a")])
    harness.report([Record("f" * 12, "a", "nowhere")])
    assert [call["study"] for call in calls] == [study, None, None]
    assert calls[0]["by"] is None
    assert calls[0]["where"] == []


@pytest.mark.parametrize("name", BUILDERS)
def test_report_is_text_and_frames(name: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = BUILDERS[name]
    install(monkeypatch, comparison)
    result = harness.report(study)
    assert result.comparison is comparison
    assert result.verdict == "\n".join(comparison.verdict)
    assert "…" not in str(result)
    assert result._repr_html_().startswith("<p><b>")
    tables = [*comparison.tables, *([comparison.overall] if comparison.overall else [])]
    assert list(result.arms["mean"].dropna()) == [a.mean for t in tables for a in t.arms if a.mean is not None]
    assert len(result.differences) == sum(len(table.differences) for table in tables)
    assert len(result.effects) == len(comparison.effects)
    assert list(result.tuning["arm"]) == [t.arm for t in comparison.tuning.contestants]
    assert len(result.tuning_curves) == sum(len(t.curve.budgets) for t in comparison.tuning.contestants if t.curve)
    assert list(result.failures["why"]) == [failure.why for failure in comparison.failures]


def test_frames_can_be_selected_from(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, two_factors())
    result = harness.report(study)
    mean = result.arms.pivot_table(index="activation", columns="initializer", values="mean")
    assert mean.shape == (3, 2)
    settled = result.differences.query("verdict == 'worse'")
    assert set(settled["arm"]) == {"tanh,he_normal"}
    assert isinstance(result.failures, pandas.DataFrame)
    assert list(result.failures.columns)[:3] == ["data", "arm", "status"]  # also without a row
    types = result.arms.dtypes.astype(str)
    assert dict(types[["runs", "mean", "n", "estimate", "verdict"]]) == {
        "runs": "int64", "mean": "float64", "n": "Int64", "estimate": "Float64", "verdict": "string",
    }  # fmt: skip
    assert result.arms["against"][0] is pandas.NA


def test_page_and_figures_have_the_curves(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, with_failures())
    modules = {
        "html": SimpleNamespace(page=lambda comparison: f"<p>{comparison.study} \ud800</p>"),
        "figures": SimpleNamespace(
            FIGURES=["forest", "curves"],
            draw=lambda name, comparison: None if name == "curves" else f"{name} of {comparison.study}",
            save=lambda comparison, folder, format: [Path(folder) / f"forest.{format}"],
        ),
    }
    for name, module in modules.items():
        monkeypatch.setitem(__import__("sys").modules, f"harness.analysis.{name}", module)
    result = harness.report(study)
    assert result.to_html() == "<p>rates \ud800</p>"
    assert result.figures == {"forest": "forest of rates"}
    assert result.save_figures("pictures", "svg") == [Path("pictures/forest.svg")]
    assert [call["curves"] for call in calls] == [False, True]  # once, when first needed
    Path("old.html").write_text("old")
    os.symlink("old.html", "link.html")
    assert result.to_html("link.html") is None
    assert Path("old.html").read_text() == "<p>rates \\ud800</p>"
    assert Path("link.html").is_symlink()
    assert sorted(os.listdir()) == ["link.html", "old.html", "outputs"]
    with pytest.raises(HarnessError, match=r"outputs is a folder: name a file, such as outputs/report\.html"):
        result.to_html("outputs")
    with pytest.raises(HarnessError, match=r"cannot write none/a\.html: No such file"):
        result.to_html("none/a.html")
    os.mkfifo("pipe")
    with pytest.raises(HarnessError, match="pipe is not a plain file"):
        result.to_html("pipe")


def test_mistakes_are_refused(workdir: Path) -> None:
    with pytest.raises(HarnessError, match="no study 'ab'"):
        harness.report("ab")
    (workdir / "outputs" / "ab").mkdir(parents=True)
    with pytest.raises(HarnessError, match="no runs in ab"):
        harness.report("ab")
    with pytest.raises(HarnessError, match="no runs to compare"):
        harness.report([])
    with pytest.raises(HarnessError, match="expected a folder, or the name of a study, got int"):
        harness.report(3)


@pytest.mark.filterwarnings("ignore:left out")
def test_good_records_are_compared_if_one_is_torn(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, one_data_set())
    torn = study / "seed=0" / "record.json"
    torn.write_text(torn.read_text()[:40])
    harness.report("ab")
    assert [record.name for record in calls[0]["records"]] == ["seed=1"]
