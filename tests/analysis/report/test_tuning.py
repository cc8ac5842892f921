"""A report says how the settings of the arms were found."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

import harness
from harness.analysis.comparison.compare import compare
from harness.analysis.html import page
from harness.analysis.report.markup import to_latex, to_markdown
from harness.analysis.report.outcome import compared
from harness.analysis.report.verdict import report_text
from tests.helpers.tunings import bump, tuned_study

SCORES = {"adam": bump(3e-3, 1.2, 0.93), "sgd": bump(3e-1, 0.2, 0.98), "lion": bump(1e-4, 1.6, 0.92)}
GOLDEN = """\
tuning: random search, 16 trials for each arm, 3 seeds each, scored by val/accuracy
arm   trials  steps  score  nearest trials  settings found
adam      16  4,800   .932  .923 .910 .833  lr=0.00321
sgd       16  4,800   .842  .360 .825 .098  lr=0.2481
lion      16  4,800   .760  .627 .578 .528  lr=0.0005549

tuning curves on digits: median of the best val/accuracy of so many random trials, with bands that hold together with \
95% confidence
arm   1 trial            2 trials            4 trials            8 trials            16 trials
adam  .460 [.127, .923]  .795 [.147, 1.000]  .910 [.460, 1.000]  .923 [.525, 1.000]  .932 [.795, 1.000]
sgd   .102 [.098, .825]  .102 [.100, 1.000]  .360 [.102, 1.000]  .825 [.102, 1.000]  .842 [.102, 1.000]
lion  .195 [.103, .627]  .443 [.118, 1.000]  .578 [.195, 1.000]  .627 [.372, 1.000]  .760 [.443, 1.000]
tuning     digits: adam leads at every budget up to 16 trials. Its band overlaps all"""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    tuned_study(SCORES, folder, budget=16)
    return folder


def text(folder: Path, width: int | None = None) -> str:
    return report_text(compare(tuned_study(SCORES, folder, budget=16), study=folder, keep_looks=False), width)


def test_searches_and_curves_stand_in_the_text(tuned: Path) -> None:
    assert GOLDEN in text(tuned)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_narrow_terminal_shows_fewer_budgets_and_the_full_one(tuned: Path, width: int) -> None:
    part = text(tuned, width).partition("tuning:")[2]
    lines = part.splitlines()[1:]
    assert max(map(cell_len, lines)) <= width
    header = next(line for line in lines if line.startswith("arm") and "1 trial" in line)
    assert header.endswith("16 trials")
    assert header.count("trial") < 5


def test_documents_have_the_tables_and_the_remarks(tuned: Path) -> None:
    comparison = compare(tuned_study(SCORES, tuned, budget=16), study=tuned, keep_looks=False)
    markdown, latex, html = to_markdown(comparison), to_latex(comparison), page(comparison)
    assert "### Tuning: random search, 16 trials for each arm" in markdown
    assert "- tuning: digits: adam leads at every budget up to 16 trials." in markdown
    assert "### Tuning curves on digits" in markdown
    assert r"lr=0.00321" in latex
    assert 'id="tuning"' in html
    assert 'id="figure-tuning"' in html
    assert "Curves in numbers" in html
    assert "<li>digits: adam leads at every budget up to 16 trials." in html


def test_title_says_why_there_is_no_band(tmp_path: Path) -> None:
    for method, why in (("tpe", "its trials depend on each other"), ("grid", "its trials are not drawn at random")):
        folder = tmp_path / method
        records = tuned_study(SCORES, folder, method=method, budget=8)
        said = report_text(compare(records, study=folder, keep_looks=False))
        assert f"without a band, since {why}" in said
        assert "median of the best" not in said


def test_failed_trials_have_a_column_where_there_are_any(tmp_path: Path) -> None:
    scores = {"adam": SCORES["adam"], "sgd": lambda s: float("nan")}
    said = report_text(compare(tuned_study(scores, tmp_path, budget=4), study=tmp_path, keep_looks=False))
    rows = [line.split() for line in said.partition("tuning: ")[2].splitlines()[1:4]]
    assert rows[0][:4] == ["arm", "trials", "failed", "steps"]
    assert rows[1][:4] == ["adam", "4", "0", "1,200"]
    assert rows[2][:7] == ["sgd", "4", "4", "1,200", "none", "completed", "failed"]


def test_settings_that_do_not_fit_stand_below_the_table(tmp_path: Path) -> None:
    space = {f"optimizer.{name}": "log(0.0001, 1.0)" for name in ("lr", "weight_decay", "momentum", "dampening")}
    records = tuned_study(SCORES, tmp_path, budget=4, space=space)
    part = report_text(compare(records, study=tmp_path, keep_looks=False), 80).partition("tuning: ")[2]
    table, _, curves = part.partition("tuning curves")
    assert max(map(cell_len, table.splitlines())) <= 80
    assert next(line for line in table.splitlines() if line.startswith("adam ")).split()[1] == "4"
    assert "found      adam: lr=" in table
    assert table.count("dampening=") == 3
    assert "dampening" not in curves


def test_summary_of_a_sweep_warns_of_winners_at_the_border(tmp_path: Path) -> None:
    scores = {"adam": SCORES["adam"], "lion": bump(1e-4, 0.8)}
    comparison = compare(tuned_study(scores, tmp_path), study=tmp_path, keep_looks=False)
    said = [line for line in compared(comparison) if line.startswith("  tuning ")]
    assert len(said) == 1
    assert "lion: optimizer.lr lies at the border" in said[0]


QUICK = ["data=moons", "data.n=60", "batch_size=16", "epochs=1", "logger=[]", "executor=in_process", "tune.seeds=1"]


def test_tuned_sweep_is_reported_by_the_public_commands(workdir: Path) -> None:
    runs = harness.sweep(["optimizer=sgd,adam", "seed=0,1,2", "tune.budget=3", "study=tuned", *QUICK])
    report = harness.report("tuned")
    assert sorted(report.arms["arm"]) == ["adam", "sgd"]  # settings that were found are no factors
    found = {row.arm: row for row in report.tuning.itertuples()}
    for run in runs:
        assert found[run.choices["optimizer"]].settings == run.tuning["settings"]
    trials = harness.load("tuned/tuning")
    assert sum(row.trials for row in found.values()) == len(trials) == 6
    last = report.tuning_curves.query("budget == 3").set_index("arm")["score"]
    for arm in found:
        assert last[arm] == max(t.metrics["val/accuracy"] for t in trials if t.choices["optimizer"] == arm)
    assert "tuning.svg" in [path.name for path in report.save_figures("figures", "svg")]
    assert 'id="figure-tuning"' in str(report.to_html())


def test_budgets_are_a_factor(workdir: Path) -> None:
    for budget in (1, 2):
        harness.sweep(["optimizer=sgd,adam", "seed=0,1", f"tune.budget={budget}", "study=budgets", *QUICK])
    report = harness.report("budgets")
    assert report.comparison.factors["tune.budget"] == [1, 2]
    assert {t.arm: t.budget for t in report.comparison.tuning.contestants} == {
        "adam,budget=1": 1, "adam,budget=2": 2, "sgd,budget=1": 1, "sgd,budget=2": 2,
    }  # fmt: skip
