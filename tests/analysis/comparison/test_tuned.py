"""How the settings of the arms were found, from the files of their searches."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.comparison.compare import compare
from harness.analysis.comparison.model import BudgetCurve, Comparison, Metric, Tuned
from harness.analysis.comparison.tuned import leaders
from harness.analysis.html import page
from harness.analysis.report.markup import to_markdown
from harness.analysis.report.verdict import report_text
from harness.analysis.stats.tuning_curves import tuning_curve
from harness.results.tuning import FOLDER, read_tunings, write
from tests.helpers.studies import study
from tests.helpers.tunings import bump, search, tuned_study

BROAD = bump(3e-3, width=1.2, top=0.93)
SHARP = bump(3e-1, width=0.2, top=0.98)


def found(folder: Path, scores: Any = None, **settings: Any) -> Comparison:
    records = tuned_study(scores or {"adam": BROAD, "sgd": SHARP}, folder, **settings)
    return compare(records, study=folder, keep_looks=False)


def of(comparison: Comparison, arm: str, data: str = "digits") -> Tuned:
    return next(t for t in comparison.tuning.contestants if (t.arm, t.data) == (arm, data))


def test_budget_and_winner_of_each_arm_are_those_of_its_search(tmp_path: Path) -> None:
    comparison = found(tmp_path, budget=20)
    search_of = {tuning.levels["optimizer"]: tuning for tuning in read_tunings(tmp_path)}
    for arm, searched in search_of.items():
        tuned = of(comparison, arm)
        assert (tuned.budget, tuned.trials, tuned.failed, tuned.steps, tuned.seeds) == (20, 20, 0, 20 * 300, 3)
        best = searched.trials[searched.winner]
        assert (tuned.winners[0].settings, tuned.winners[0].score) == (best.settings, best.score)
        assert len(tuned.winners[0].neighbours) == 3
        assert tuned.space == {"optimizer.lr": "log(0.0001, 1.0)"}


def test_curves_of_a_data_set_share_the_error_rate(tmp_path: Path) -> None:
    comparison = found(tmp_path)
    searched = next(tuning for tuning in read_tunings(tmp_path) if tuning.levels["optimizer"] == "adam")
    expected = tuning_curve([trial.score for trial in searched.trials], coverage=0.975, support=(0, 1))
    curve = of(comparison, "adam").curve
    assert curve is not None
    assert list(curve.budgets) == list(range(1, 33))
    for line, values in ((curve.score, expected.median), (curve.low, expected.low), (curve.high, expected.high)):
        np.testing.assert_allclose(line, values, rtol=1e-12, atol=1e-12)


def test_other_methods_have_the_best_score_so_far_and_no_band(tmp_path: Path) -> None:
    comparison = found(tmp_path, method="tpe")
    tuned = of(comparison, "adam")
    assert tuned.curve is not None
    assert tuned.curve.score[-1] == tuned.winners[0].score
    assert list(tuned.curve.score) == sorted(tuned.curve.score)
    assert not len(tuned.curve.low)
    assert comparison.tuning.leaders == []


def test_arm_that_only_wins_with_more_tuning_is_named(tmp_path: Path) -> None:
    comparison = found(tmp_path, budget=50)
    assert comparison.tuning.leaders[0] == (
        "digits: sgd leads only from 35 trials on; at 34 trials adam is ahead. Its band is behind that of adam at 1 "
        "trial; elsewhere the trials do not settle the order."
    )


def line(arm: str, score: list[float], width: float, higher: bool = True) -> Tuned:
    low, high = [x - width for x in score], [x + width for x in score]
    curve = BudgetCurve(range(1, len(score) + 1), score, low, high)
    metric = Metric("val/accuracy" if higher else "val/loss", higher, "difference")
    return Tuned(arm, "digits", metric, "random", len(score), len(score), 0, 1, 3, {}, [], curve)


def test_leader_at_every_budget_and_bands_that_are_apart() -> None:
    tuned = [line("a", [0.5, 0.6, 0.9], 0.1), line("b", [0.2, 0.3, 0.8], 0.1), line("c", [0.4, 0.5, 0.5], 0.1)]
    assert leaders(tuned) == [
        "digits: a leads at every budget up to 3 trials. Its band is ahead of that of b at 1 to 2 trials, ahead of "
        "that of c at 3 trials; elsewhere the trials do not settle the order."
    ]


def test_leader_of_losses_has_the_lowest_and_ties_are_no_flip() -> None:
    tuned = [line("a", [5.0, 4.0, 4.0], 0.1, higher=False), line("b", [9.0, 4.0, 3.0], 0.1, higher=False)]
    assert leaders(tuned) == [
        "digits: b leads only from 2 trials on; at 1 trial a is ahead. Its band is ahead of that of a at 3 trials, "
        "behind that of a at 1 trial; elsewhere the trials do not settle the order."
    ]


def test_bands_that_overlap_everywhere_settle_nothing() -> None:
    (said,) = leaders([line("a", [0.5, 0.6], 0.3), line("b", [0.4, 0.5], 0.3)])
    assert said.endswith("Its band overlaps all others at every budget, so the trials do not settle this order.")


def test_arms_of_different_budgets_are_compared_up_to_the_smaller() -> None:
    assert leaders([line("a", [0.5, 0.6], 0.3), line("b", [0.4, 0.5, 0.9], 0.3)])[0].startswith(
        "digits: a leads at every budget up to 2 trials."
    )


def test_search_that_is_part_of_a_longer_one_has_no_curve_of_its_own(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    records = []
    for budget in (4, 12):
        for optimizer, score in (("adam", BROAD), ("sgd", SHARP)):
            levels = {"optimizer": optimizer, "tune.budget": budget}
            searched = search(levels, score, budget=budget)
            write(searched, tmp_path)
            made = study({"optimizer": [optimizer], "tune.budget": [budget]}, lambda *_: 0.9, seeds=3)
            records += [replace(record, tuning=searched.summary()) for record in made]
    comparison = compare(records, study=tmp_path, keep_looks=False)
    assert {t.arm: t.curve is not None for t in comparison.tuning.contestants} == {
        "adam,budget=4": False, "sgd,budget=4": False, "adam,budget=12": True, "sgd,budget=12": True,
    }  # fmt: skip
    curve = of(comparison, "adam,budget=12").curve
    scores = [
        t.score
        for s in read_tunings(tmp_path)
        if s.levels == {"optimizer": "adam", "tune.budget": 12}
        for t in s.trials
    ]
    assert curve is not None
    np.testing.assert_allclose(curve.low, tuning_curve(scores, coverage=0.975).low, rtol=1e-12, atol=1e-12)


def test_failed_trials_are_counted_and_are_the_worst(tmp_path: Path) -> None:
    comparison = found(tmp_path, {"adam": BROAD, "sgd": lambda s: math.nan if s["optimizer.lr"] > 1e-3 else 0.6})
    tuned = of(comparison, "sgd")
    assert 0 < tuned.failed < tuned.trials
    assert tuned.curve is not None
    assert tuned.curve.score[0] == 0.0  # most of its settings fail
    assert tuned.curve.score[-1] > 0.5


def test_arm_of_which_no_trial_completed_has_no_score(tmp_path: Path) -> None:
    comparison = found(tmp_path, {"adam": BROAD, "sgd": lambda s: math.nan}, objective="val/loss", higher=False)
    tuned = of(comparison, "sgd")
    assert tuned.winners[0].score is None
    assert tuned.curve is not None
    assert set(tuned.curve.score) == {math.inf}
    assert not any(line.startswith("sgd: ") for line in comparison.tuning.warnings)  # no winner is at a border


def test_winner_at_the_border_of_its_space_is_warned_of(tmp_path: Path) -> None:
    comparison = found(tmp_path, {"adam": BROAD, "lion": bump(1e-4, width=0.8)}, data=("digits", "wine"))
    (warning,) = comparison.tuning.warnings
    assert warning.startswith("lion: optimizer.lr lies at the border of log(0.0001, 1.0) on digits (0.000")
    assert "wine (0.000" in warning
    assert warning.endswith("tune.space.optimizer.lr=... searches another space")


def test_verdict_is_said_to_be_about_the_winners(tmp_path: Path) -> None:
    assert sum("the settings that this search found" in note for note in found(tmp_path).notes) == 1


def test_tuning_anew_for_each_seed_is_no_statement_about_winners(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    records = []
    for optimizer, score in (("adam", BROAD), ("sgd", SHARP)):
        for record in study({"optimizer": [optimizer]}, lambda _, seed: 0.9 + seed / 1000, seeds=4):
            searched = search({"optimizer": optimizer, "seed": record.config["seed"]}, score, budget=8)
            write(searched, tmp_path)
            records.append(replace(record, tuning=searched.summary()))
    comparison = compare(records, study=tmp_path, keep_looks=False)
    tuned = of(comparison, "adam")
    assert (len(tuned.winners), tuned.trials) == (4, 32)
    assert tuned.curve is not None
    assert list(tuned.curve.budgets) == list(range(1, 9))
    every = [t.score for s in read_tunings(tmp_path) if s.levels["optimizer"] == "adam" for t in s.trials]
    expected = tuning_curve(every, coverage=0.975).median[:8]
    np.testing.assert_allclose(tuned.curve.score, expected, rtol=1e-12, atol=1e-12)
    assert not any("settings that this search found" in note for note in comparison.notes)


def test_records_without_their_study_say_what_was_found_without_curves(tmp_path: Path) -> None:
    records = tuned_study({"adam": BROAD, "sgd": SHARP}, None)
    comparison = compare(records, study=None)
    assert [t.trials for t in comparison.tuning.contestants] == [32, 32]
    assert all(t.curve is None for t in comparison.tuning.contestants)


def test_arms_that_were_not_tuned_are_named(tmp_path: Path) -> None:
    records = tuned_study({"adam": BROAD}, tmp_path) + study(
        {"optimizer": ["sgd"], "data": ["digits"]}, lambda *_: 0.5, seeds=5
    )
    comparison = compare(records, study=tmp_path, keep_looks=False, by=["optimizer"])
    assert "not tuned, but compared with arms that are: sgd" in comparison.notes


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    records = tuned_study({"adam": BROAD, "sgd": SHARP}, tmp_path)
    broken = sorted((tmp_path / FOLDER).glob("*.json"))[0]
    broken.write_text("{")
    comparison = compare(records, study=tmp_path, keep_looks=False)
    assert sum(note.startswith("left out: ") and broken.name in note for note in comparison.notes) == 1
    assert sum(t.curve is None for t in comparison.tuning.contestants) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"id": "a"},
        {"method": "\x1b[31m<b>"},
        {"settings": {"optimizer.lr": {"a": [1]}, "b": [1, [2]]}, "border": ["c"], "neighbours": [{}], "score": None},
        {"seeds": [], "trials": -1, "neighbours": [{"score": "nan"}], "objective": "val/nothing"},
    ],
)
def test_records_of_a_stranger_are_data(said: dict[str, Any], tmp_path: Path) -> None:
    records = tuned_study({"adam": BROAD, "sgd": SHARP}, None)
    whole = records[0].tuning if len(said) > 1 or "method" in said else {}
    records = [replace(record, tuning=whole | said) for record in records]
    comparison = compare(records, study=None)
    texts = [report_text(comparison), report_text(comparison, 60), to_markdown(comparison), page(comparison)]
    assert not any("\x1b" in text for text in texts)


def test_study_that_was_not_tuned_says_nothing(tmp_path: Path) -> None:
    comparison = compare(study({"optimizer": ["adam", "sgd"]}, lambda *_: 0.9), study=tmp_path, keep_looks=False)
    assert comparison.tuning.contestants == ()
    assert not any("tun" in note for note in comparison.notes)
