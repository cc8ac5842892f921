"""Studies are compared, from their records to the verdict."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.analysis.comparison.compare import compare
from harness.analysis.comparison.decide import family
from harness.results.record import Record
from harness.system.errors import HarnessError
from tests.helpers.studies import N_TEST, noise, record, study


def _share(x: float) -> float:
    return round(x * N_TEST) / N_TEST


def _better_sgd(optimizer: str, seed: int) -> float:
    return _share(0.9 + 0.02 * (optimizer == "sgd") + noise("split", seed, sd=0.01) + noise(optimizer, seed, sd=0.003))


def _equal_arms(arm: object, seed: int) -> float:
    return _share(0.9 + noise("split", seed, sd=0.01) + noise(arm, seed, sd=0.003))


TWO = {"optimizer": ["adam", "sgd"]}


def test_difference_of_paired_seeds_is_settled() -> None:
    records = study(TWO, _better_sgd)
    found = compare(records, study=None)
    table = found.tables[0]
    assert [arm.name for arm in table.arms] == ["sgd", "adam"]
    assert (table.scope, table.units, table.test_size) == ("over splits of this data set", 10, N_TEST)
    d = table.difference("adam")
    assert d is not None
    assert (d.verdict, d.n, d.settled_at, d.won) == ("worse", 10, 10, 0)
    assert table.groups == [["sgd"], ["adam"]]
    x = np.array([r.metrics["test/accuracy"] for r in records]).reshape(2, 10)
    interval = stats.ttest_rel(x[0], x[1]).confidence_interval(d.coverage)
    np.testing.assert_allclose([d.low, d.high], interval, rtol=1e-9, atol=1e-12)
    assert found.verdict[0].startswith("adam is worse than sgd on digits (test/accuracy -.0")
    assert found.verdict[0].endswith("settled with 10 seeds.")


def test_equal_arms_are_not_settled_and_never_equal_without_a_margin() -> None:
    table = compare(study(TWO, _equal_arms), study=None).tables[0]
    assert [d.verdict for d in table.differences] == ["not settled"]
    assert table.groups == [[arm.name for arm in table.arms]]


def test_arms_within_the_margin_are_equal() -> None:
    found = compare(study(TWO, _equal_arms, seeds=30), study=None, margin=0.01)
    assert [d.verdict for d in found.tables[0].differences] == ["equal"]
    assert "equal within the margin" in found.verdict[0]


def test_seeds_for_the_margin_come_from_the_margin() -> None:
    d = compare(study(TWO, _equal_arms), study=None, margin=0.0005).tables[0].differences[0]
    assert d.needed is not None
    assert d.needed > 100
    assert d.floor is not None
    assert d.floor > 0.0005


def test_all_pairs_are_one_family_unless_a_baseline_is_named() -> None:
    levels = {"optimizer": ["adam", "sgd", "lion", "adagrad"]}
    assert compare(study(levels, _equal_arms), study=None).look.family == 6
    named = compare(study(levels, _equal_arms), study=None, baseline="sgd")
    assert named.look.family == 3
    assert {d.against for d in named.tables[0].differences} == {"sgd"}


def test_many_arms_are_tested_at_the_level_of_all_pairs() -> None:
    arms = [f"a{i}" for i in range(100)]
    pairs, size = family(arms, None)
    assert len(pairs) == 99
    assert size == 4950


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_told_with_the_command_that_adds_some(seeds: int) -> None:
    command = "harness -m optimizer=adam,sgd seed=0 study=made"
    found = compare(study(TWO, _equal_arms, seeds=seeds, command=command), study=None)
    assert [d.verdict for d in found.tables[0].differences] == ["too few"]
    assert "no difference can be settled with fewer than 3" in found.verdict[0]
    assert found.more.startswith("harness -m optimizer=adam,sgd 'seed=range(")


def test_unpaired_seeds_are_told() -> None:
    records = study({"optimizer": ["adam"]}, _better_sgd, seeds=range(5))
    records += study({"optimizer": ["sgd"]}, _better_sgd, seeds=range(5, 10))
    found = compare(records, study=None)
    assert [d.verdict for d in found.tables[0].differences] == ["too few"]
    assert "use the same seeds" in found.verdict[0]


def test_seeds_that_one_arm_lacks_are_noted() -> None:
    records = study({"optimizer": ["adam"]}, _better_sgd, seeds=10) + study(
        {"optimizer": ["sgd"]}, _better_sgd, seeds=7
    )
    found = compare(records, study=None)
    assert found.tables[0].differences[0].n == 7
    assert any("10 seeds, but sgd lacks 3" in note for note in found.notes)


def test_fixed_split_limits_the_scope() -> None:
    assert compare(study(TWO, _equal_arms, split=False), study=None).tables[0].scope == "on this split"


def _crossed(splits: int, seeds: int) -> list[Record]:
    places = itertools.product(("adam", "sgd"), range(seeds), range(splits))
    values = {(o, s, t): 0.9 + noise("split", t, sd=0.02) + noise(o, s, t, sd=0.005) for o, s, t in places}
    return [record({"optimizer": o, "seed": s, "split.seed": t}, _share(x)) for (o, s, t), x in values.items()]


def test_seeds_are_averaged_within_crossed_splits() -> None:
    table = compare(_crossed(6, 4), study=None).tables[0]
    assert (table.units, table.unit, table.differences[0].n) == (6, "split", 6)
    assert table.scope == "over splits of this data set"


def test_few_crossed_splits_are_averaged_over() -> None:
    table = compare(_crossed(2, 8), study=None).tables[0]
    assert (table.units, table.unit, table.scope) == (8, "seed", "on these 2 splits")


def test_losses_are_compared_as_ratios() -> None:
    def loss(optimizer: str, seed: int) -> float:
        return float(np.exp(noise("split", seed) + 0.3 * (optimizer == "sgd") + noise(optimizer, seed, sd=0.05)))

    found = compare(study(TWO, loss, metric="loss", higher=False), study=None)
    d = found.tables[0].difference("sgd")
    assert d is not None
    assert d.verdict == "worse"
    assert d.estimate == pytest.approx(np.exp(0.3), rel=0.1, abs=0)
    assert found.metric.scale == "ratio"


def test_float32_shares_are_rounded_to_counts() -> None:
    records = study(TWO, lambda o, s: float(np.float32(344 / N_TEST)))
    assert {x for arm in compare(records, study=None).tables[0].arms for x in arm.values.values()} == {344 / N_TEST}


def test_few_equal_differences_of_shares_are_no_certainty() -> None:
    records = study(TWO, lambda o, s: (360 + (o == "sgd")) / N_TEST, seeds=3)
    assert compare(records, study=None).tables[0].differences[0].verdict == "not settled"


# ---------------------------------------------------------------- adding seeds


def test_settled_verdict_stays_when_contrary_seeds_are_added(tmp_path: Path) -> None:
    compare(study(TWO, _better_sgd), study=tmp_path)

    def contrary(optimizer: str, seed: int) -> float:
        return _better_sgd(optimizer, seed) if seed < 10 else _better_sgd("adam" if optimizer == "sgd" else "sgd", seed)

    table = compare(study(TWO, contrary, seeds=20), study=tmp_path).tables[0]
    d = next(d for d in table.differences if {d.arm, d.against} == {"adam", "sgd"})
    assert (d.verdict == "better") == (d.arm == "sgd")
    assert d.settled_at == 10
    assert d.n == 20


def test_second_report_of_the_same_data_is_the_same(tmp_path: Path) -> None:
    first, second = (compare(study(TWO, _equal_arms), study=tmp_path) for _ in range(2))
    assert first.tables == second.tables
    assert (first.look.new, second.look.new) == (True, False)
    assert first.look.level == second.look.level == second.look.spent


def test_later_sweep_with_other_settings_gets_no_verdict_of_the_first(tmp_path: Path) -> None:
    compare(study(TWO, _better_sgd), study=tmp_path)
    later = compare(study(TWO, _equal_arms, config={"epochs": 20}), study=tmp_path)
    assert [d.verdict for d in later.tables[0].differences] == ["not settled"]
    assert (later.look.number, later.look.n) == (1, 10)
    assert later.look.level == pytest.approx(0.05 * (1 / 3) ** 0.5, rel=1e-9, abs=1e-15)


def test_runs_that_were_trained_again_count_once() -> None:
    old = study(TWO, lambda o, s: 0.1)
    for run in old:
        run.time["started"] = "2025-01-01T00:00:00Z"
    found = compare([*study(TWO, _better_sgd), *old], study=None)
    assert found.tables[0].arms == compare(study(TWO, _better_sgd), study=None).tables[0].arms
    assert any(note.startswith("20 runs were trained again") for note in found.notes)


def test_completed_run_without_the_metric_is_left_out_and_has_not_lost() -> None:
    records = study(TWO, _better_sgd)
    records[3].metrics.clear()
    found = compare(records, study=None)
    d = found.tables[0].differences[0]
    assert (d.n, d.decided_by, d.verdict) == (9, "t", "worse")
    assert "left out: 1 completed runs have no test/accuracy" in found.notes


def test_completed_run_that_never_reached_the_target_has_lost() -> None:
    records = study(TWO, lambda o, s: float("inf") if o == "sgd" and s < 9 else 5.0 + s, metric="epochs", higher=False)
    found = compare(records, study=None)
    d = next(d for d in found.tables[0].differences if d.arm == "sgd")
    assert (d.verdict, d.decided_by) == ("worse", "sign")
    assert "9 completed runs have no finite test/epochs, and count as lost" in found.notes


def test_order_of_factors_begins_no_new_looks(tmp_path: Path) -> None:
    def value(optimizer: str, activation: str, seed: int) -> float:
        return _better_sgd(optimizer, seed)

    def turned(activation: str, optimizer: str, seed: int) -> float:
        return _better_sgd(optimizer, seed)

    levels = {"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}
    first = compare(study(levels, value), study=tmp_path)
    second = compare(study(dict(reversed(levels.items())), turned), study=tmp_path)
    assert (first.look.new, second.look.new) == (True, False)
    assert [e.verdict for e in first.effects] == [e.verdict for e in second.effects]
    assert first.tables[0].arms[0].name != second.tables[0].arms[0].name
    assert [d.verdict for d in first.tables[0].differences] == [d.verdict for d in second.tables[0].differences]


def test_looks_add_up(tmp_path: Path) -> None:
    spent = [compare(study(TWO, _equal_arms, seeds=n), study=tmp_path).look.spent for n in (5, 10, 30)]
    assert spent[0] < spent[1] < spent[2]
    assert spent[2] == pytest.approx(0.05, rel=1e-9, abs=0)


# ---------------------------------------------------------------- failures


def test_run_that_fails_loses_its_pair() -> None:
    def fails(optimizer: str, seed: int) -> float | None:
        good = _share(0.9 + noise(optimizer, seed, sd=0.01))
        return None if optimizer == "sgd" and good < 0.9 else good + 0.001 * (optimizer == "sgd")

    found = compare(study(TWO, fails, seeds=20), study=None)
    table = found.tables[0]
    d = next(d for d in table.differences if {d.arm, d.against} == {"adam", "sgd"})
    assert d.decided_by == "sign"
    assert d.verdict == "not settled"  # dropping the failures would call sgd better
    x = {arm.name: arm.values for arm in table.arms}
    common = sorted(set(x["adam"]) & set(x["sgd"]))
    assert stats.ttest_rel([x["sgd"][u] for u in common], [x["adam"][u] for u in common]).pvalue < 0.05
    (failure,) = found.failures
    assert (failure.arm, failure.status, failure.of) == ("sgd", "failed", 20)
    assert failure.why == "ValueError: it broke"
    assert failure.p == pytest.approx(
        stats.fisher_exact([[20 - failure.runs, failure.runs], [20, 0]]).pvalue, rel=1e-9, abs=0
    )


def test_arm_without_a_completed_run_is_worse() -> None:
    found = compare(study(TWO, lambda o, s: None if o == "sgd" else _equal_arms(o, s)), study=None)
    assert [arm.name for arm in found.tables[0].arms] == ["adam", "sgd"]
    assert found.tables[0].differences[0].verdict == "worse"
    assert found.tables[0].arms[1].mean is None


def test_interrupted_runs_are_missing_and_have_not_lost() -> None:
    records = study(TWO, _better_sgd)
    records[0] = record({"optimizer": "adam", "seed": 0, "split.seed": 0}, None, status="interrupted")
    d = compare(records, study=None).tables[0].differences[0]
    assert (d.n, d.decided_by) == (9, "t")


# ---------------------------------------------------------------- several data sets


def _over_data(effect: float, sets: int = 6) -> list[Record]:
    def value(data: str, optimizer: str, seed: int) -> float:
        shift = (effect + noise(data, sd=0.01)) * (optimizer == "sgd")
        return _share(0.8 + shift + noise("split", data, seed, sd=0.01) + noise(data, optimizer, seed, sd=0.003))

    return study({"data": [f"d{i}" for i in range(sets)], "optimizer": ["adam", "sgd"]}, value)


def test_statement_over_data_sets_is_a_t_test_of_their_means() -> None:
    found = compare(_over_data(0.05), study=None)
    assert [table.data for table in found.tables] == [f"d{i}" for i in range(6)]
    assert found.overall is not None
    d = found.overall.differences[0]
    assert (d.n, d.verdict, found.overall.unit) == (6, "worse", "data set")
    means = [table.difference("adam", "sgd") or table.difference("sgd", "adam") for table in found.tables]
    x = [m.estimate * (1 if m.arm == d.arm else -1) for m in means if m is not None and m.estimate is not None]
    expected = stats.ttest_1samp(x, 0)
    assert d.p == pytest.approx(expected.pvalue, rel=1e-9, abs=0)
    assert found.aggregates[0].arm == "sgd"
    assert found.critical_difference is not None


def test_data_sets_that_disagree_settle_nothing_over_data_sets() -> None:
    found = compare(_over_data(0.0), study=None)
    assert any(d.verdict in ("better", "worse") for table in found.tables for d in table.differences)
    assert found.overall is not None
    assert found.overall.differences[0].verdict == "not settled"


def test_added_data_sets_spend_further_and_never_more_than_the_error_rate(tmp_path: Path) -> None:
    looks = [compare(_over_data(0.0, sets=n), study=tmp_path).look for n in (4, 5, 6, 12, 14)]
    assert [look.number for look in looks] == [1, 2, 3, 4, 5]
    assert looks[0].level == pytest.approx(0.05 * (40 / 120) ** 0.5, rel=1e-9, abs=0)
    assert all(look.level > 0 for look in looks[:4])
    assert looks[4].level == 0  # twelve data sets of ten seeds were planned as four of thirty
    assert looks[4].spent == pytest.approx(0.05, rel=1e-9, abs=0)


def test_margin_that_needs_more_than_the_planned_seeds_is_noted() -> None:
    found = compare(study(TWO, _equal_arms), study=None, margin=0.0005)
    assert any("start a new study with --planned" in note for note in found.notes)


def test_three_data_sets_are_too_few_for_a_statement_over_data_sets() -> None:
    found = compare(_over_data(0.05, sets=3), study=None)
    assert found.overall is None
    assert any("at least 4" in note for note in found.notes)


# ---------------------------------------------------------------- factors


def test_interaction_of_two_factors_is_settled() -> None:
    def value(optimizer: str, activation: str, seed: int) -> float:
        both = 0.03 * (optimizer == "sgd" and activation == "tanh")
        return _share(0.85 + both + noise("split", seed, sd=0.01) + noise(optimizer, activation, seed, sd=0.003))

    effects = compare(study(TWO | {"activation": ["relu", "tanh"]}, value), study=None).effects
    assert [(e.factors, e.verdict) for e in effects] == [(("activation", "optimizer"), "settled")]
    assert effects[0].estimate == pytest.approx(0.03, abs=0.01, rel=0)


def test_main_effects_stand_where_no_interaction_is_settled() -> None:
    def value(optimizer: str, activation: str, seed: int) -> float:
        return _better_sgd(optimizer, seed)

    effects = compare(study(TWO | {"activation": ["relu", "tanh"]}, value), study=None).effects
    assert [(e.factors, e.verdict) for e in effects if e.verdict == "settled"] == [(("optimizer",), "settled")]


def test_numeric_setting_has_a_sensitivity() -> None:
    found = compare(study({"optimizer.lr": [0.001, 0.01, 0.1]}, _equal_arms), study=None)
    (curve,) = found.sensitivity
    assert (curve.key, list(curve.values)) == ("optimizer.lr", [0.001, 0.01, 0.1])


# ---------------------------------------------------------------- bad input


def test_times_of_mixed_paths_are_refused() -> None:
    records = study(TWO, _better_sgd, path="fused")
    records[0].cohort["path"] = "alone"
    with pytest.raises(HarnessError, match="cannot be compared: train them all with path=alone"):
        compare(records, study=None, metric="share_s")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "test/acuracy"}, "Did you mean 'test/accuracy'"),
        ({"margin": -1.0}, "--margin must be a positive number"),
        ({"planned": 1}, "--planned must be at least 2"),
        ({"baseline": "sdg"}, "Did you mean 'sgd'"),
    ],
)
def test_bad_words_are_refused(asked: dict, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        compare(study(TWO, _better_sgd), study=None, **asked)


def test_population_scope_needs_new_splits() -> None:
    with pytest.raises(HarnessError, match="needs a new split for each seed"):
        compare(study(TWO, _better_sgd, split=False), study=None, scope="population")
    found = compare(study(TWO, _better_sgd), study=None, scope="population").tables[0]
    plain = compare(study(TWO, _better_sgd), study=None).tables[0]
    assert found.scope == "over new data of this kind"
    assert found.differences[0].p > plain.differences[0].p


def test_equality_over_new_data_takes_their_variance() -> None:
    records = study(TWO, _equal_arms, seeds=30)
    plain, new = (compare(records, study=None, margin=0.004, scope=scope) for scope in ("default", "population"))
    assert [d.verdict for d in plain.tables[0].differences] == ["equal"]
    assert [(d.verdict, d.needed) for d in new.tables[0].differences] == [("not settled", None)]


def test_nothing_completed_is_one_line() -> None:
    with pytest.raises(HarnessError, match=r"no run has completed \(20 failed\)"):
        compare(study(TWO, lambda o, s: None), study=None)


def test_mixed_objectives_ask_for_a_metric() -> None:
    records = study(TWO, _better_sgd) + study({"optimizer": ["lion"]}, _better_sgd, metric="f1")
    with pytest.raises(HarnessError, match="different objectives"):
        compare(records, study=None)
