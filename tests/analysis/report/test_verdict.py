"""Tests of the report on the terminal."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from rich.cells import cell_len

from harness.analysis.comparison.model import Arm, Comparison, Difference, Effect, Look, Metric, Table
from harness.analysis.report.ranking import tables_of
from harness.analysis.report.verdict import report_text
from tests.helpers.comparisons import HOSTILE, builders, many_data_sets, nothing_completed, one_data_set, single_seed
from tests.helpers.comparisons import losses as loss_study

BUILDERS = builders()
UNSEEN = "\x1b\x07\x9b\u202e\r"

NAMES = ["adam,relu", "adam,tanh", "sgd,relu", "sgd,tanh"]
MEANS = [0.9731, 0.9703, 0.9692, 0.9689]
SECONDS = [0.22, 0.26, 0.21, 0.2546]
AGAINST = {  # mean, ends of the interval, share of seeds won, floor, seeds for the margin
    "adam,tanh": (-0.0028, -0.0067, 0.0011, 0.2, 0.0052, 18),
    "sgd,relu": (-0.0039, -0.0099, 0.0021, 0.3, 0.0081, 41),
    "sgd,tanh": (-0.0042, -0.0118, 0.0034, 0.25, 0.0102, 64),
}

GOLDEN = """\
adam,relu has the highest mean on digits, but 0 of 3 differences to it are settled with 10 seeds.
test/accuracy on 360 test samples, over splits of this data set; 10 of 30 planned seeds, \
first look (level .0289, Holm over 3)
   arm         runs   mean  against adam,relu        won  verdict      seeds for .005  s/run
1  adam,relu  10/10  .9731  baseline                                                    0.22
2  adam,tanh  10/10  .9703  -.0028 [-.0067, +.0011]  20%  not settled              18   0.26
3  sgd,relu   10/10  .9692  -.0039 [-.0099, +.0021]  30%  not settled              41   0.21
4  sgd,tanh   10/10  .9689  -.0042 [-.0118, +.0034]  25%  not settled              64   0.25
groups     {all four}    floor  .0052 to .0102    variance  split and seed 75%, arm 3%, rest 22%
more seeds harness -m optimizer=adam,sgd activation=relu,tanh \
'seed=range(30)' study=ab   (verdicts stay valid)"""


def study() -> Comparison:
    """The study of the issue: four arms, ten seeds, nothing settled."""
    arms = []
    for name, mean, seconds in zip(NAMES, MEANS, SECONDS, strict=True):
        optimizer, activation = name.split(",")
        arms.append(Arm(name, {"optimizer": optimizer, "activation": activation}, 10, 10, mean, seconds=seconds))
    differences = [
        Difference(arm, NAMES[0], 10, mean, low, high, 0.01, 0.1, 0.0289, 0.99, won, "not settled", floor=floor,
                   needed=needed)
        for arm, (mean, low, high, won, floor, needed) in AGAINST.items()
    ]  # fmt: skip
    table = Table(
        "digits", "over splits of this data set", "seed", 10, 360, arms, NAMES[0], differences, [NAMES],
        {"split and seed": 0.75, "arm": 0.03, "rest": 0.22},
    )  # fmt: skip
    factors = {"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}
    words = "optimizer=adam,sgd activation=relu,tanh"
    return Comparison(
        "ab", Metric("test/accuracy", True, "difference", True), factors, ["seed"], [table], None,
        Look(1, 10, 30, 0.0289, 0.0289, 3), 0.005, [], [], [], [], [], None, [],
        ["adam,relu has the highest mean on digits, but 0 of 3 differences to it are settled with 10 seeds."],
        f"harness -m {words} 'seed=range(10)' study=ab", f"harness -m {words} 'seed=range(30)' study=ab", 40,
    )  # fmt: skip


def test_report_of_a_study() -> None:
    assert report_text(study()) == GOLDEN


@pytest.mark.parametrize("width", [None, 60, 80, 200])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_comparison_is_printed(name: str, width: int | None) -> None:
    comparison = BUILDERS[name]
    text = report_text(comparison, width)
    assert not set(UNSEEN) & set(text)
    lines = text.splitlines()
    headers = [line for line in lines if line.split()[:2] == ["arm", "runs"]]
    assert len(headers) == len(tables_of(comparison))
    if width in (80, 200):
        tables = [line for line in lines if line.rstrip().endswith(("settled", "worse", "s/run"))]
        assert [line for line in tables if cell_len(line) > width] == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_escaped_and_markup_is_literal(name: str) -> None:
    text = report_text(BUILDERS["hostile_names"])
    assert "[red]markup[/red]" in text
    assert "red\\x1b[31mtext" in text
    assert "\\u202eevil" in text
    shown = name.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert text.count(shown) >= 5


def test_whole_names_are_printed_to_a_pipe_and_shortened_on_a_terminal() -> None:
    comparison = BUILDERS["two_factors"]
    assert "  gelu,orthogonal  " in report_text(comparison)
    assert "…" not in report_text(comparison)
    narrow = report_text(comparison, 60)
    assert "…" in narrow
    assert "s/run" not in narrow
    assert "  gelu,orthogonal  " in report_text(comparison, 80)  # the seconds go first


def test_very_many_arms_are_cut_but_not_the_reference() -> None:
    comparison = one_data_set(arms=40)
    table, reference = comparison.tables[0], comparison.tables[0].arms[35].name
    differences = [replace(d, against=reference) for d in table.differences if d.against == table.reference]
    table = replace(table, reference=reference, differences=differences)
    text = report_text(replace(comparison, tables=[table]))
    rows = [line.split() for line in text.splitlines() if line.split()[2:3] == ["10/10"]]
    assert [row[0] for row in rows] == [*map(str, range(1, 21)), "36"]
    assert "baseline" in rows[-1]
    assert "\nand 19 more arms: --csv, --json and --html FILE have all\n" in text


def test_interaction_that_is_settled_hides_main_effects() -> None:
    def effect(factors: tuple[str, ...], levels: tuple[str, ...], verdict: str) -> Effect:
        return Effect("digits", factors, levels, 10, 0.011, 0.0021, 0.0199, 0.004, verdict)

    main = effect(("activation",), ("tanh", "relu"), "settled")
    both = effect(("activation", "initializer"), ("tanh", "relu", "orthogonal", "he_normal"), "settled")
    other = effect(("warmup",), ("0.1", "0"), "not settled")
    shown = report_text(replace(study(), effects=[main, other, both]))
    assert "\ninteraction of activation and initializer on digits\n" in shown
    assert "tanh - relu, with orthogonal - with he_normal  +.0110 [+.0021, +.0199]  settled" in shown
    assert "effect of activation on" not in shown
    assert shown.index("interaction of") < shown.index("effect of warmup on digits")
    shown = report_text(replace(study(), effects=[main, replace(both, verdict="not settled")]))
    assert "\neffect of activation on digits\n" in shown


@pytest.mark.parametrize(("n", "settled", "rows"), [(6, 0, 6), (20, 0, 3), (20, 5, 5), (20, 15, 10)])
def test_of_many_contrasts_the_settled_ones_are_shown(n: int, settled: int, rows: int) -> None:
    verdicts = ["settled"] * settled + ["not settled"] * (n - settled)
    effects = [
        Effect("digits", ("lr",), (f"{i}", "0"), 10, 0.01, 0.0, 0.02, i / n, verdict)
        for i, verdict in enumerate(verdicts)
    ]
    lines = report_text(replace(study(), effects=effects[::-1])).splitlines()
    start = lines.index(f"effect of lr on digits: {settled} of {n} contrasts are settled")
    shown = [line.split()[0] for line in lines[start + 2 :] if line.endswith("settled")]
    assert shown == [str(i) for i in range(rows)]
    assert any(line.startswith(f"and {n - rows} more: ") for line in lines) == (n > rows)


def test_baseline_that_is_not_the_best_arm() -> None:
    table = study().tables[0]
    flipped = [replace(d, arm=NAMES[0], against=d.arm, estimate=0.0028, low=-0.0011, high=0.0067, won=0.8)
               for d in table.differences[:1]]  # fmt: skip
    text = report_text(replace(study(), tables=[replace(table, reference="adam,tanh", differences=flipped)]))
    assert "against adam,tanh" in text
    assert "+.0028 [-.0011, +.0067]  80%  not settled" in text
    assert text.count("baseline") == 1


def test_verdict_of_an_earlier_look_and_by_wins_is_explained() -> None:
    table = study().tables[0]
    first, second, third = table.differences
    early = replace(first, verdict="worse", settled_at=5)
    wins = replace(second, verdict="worse", settled_at=10, decided_by="sign")
    text = report_text(replace(study(), tables=[replace(table, differences=[early, wins, third])]))
    assert "worse at 5 " in text
    assert "at N       settled by an earlier look, with N seeds" in text
    assert "worse, by wins" in text
    assert "by wins    runs failed, so the share of seeds won decides (sign test), not the mean" in text


def test_failures_are_grouped_with_their_reason_and_findings() -> None:
    lines = report_text(BUILDERS["with_failures"]).splitlines()
    start = lines.index("runs that did not complete")
    assert lines[start + 1].split() == ["arm", "status", "runs", "p", "reason"]
    assert lines[start + 2].split()[:4] == ["rmsprop", "diverged", "4/10", ".0870"]
    assert lines[start + 3].startswith("    doctor: optimizer.lr=0.3 is too large")
    assert any("Fisher's test" in line for line in lines)


def test_study_of_one_seed_shows_no_groups_and_the_command() -> None:
    lines = report_text(single_seed()).splitlines()
    assert sum("too few" in line for line in lines) == 2
    assert not any(line.startswith("groups") for line in lines)
    assert lines[-1].startswith("more seeds harness -m ")


def test_arms_without_a_completed_run_have_no_rank() -> None:
    text = report_text(nothing_completed())
    assert text.startswith("No run of broken completed.\n")
    assert [line.split()[:2] for line in text.splitlines() if " 0/10" in line] == [["adam", "0/10"], ["sgd", "0/10"]]


def test_losses_are_compared_by_ratios() -> None:
    text = report_text(loss_study())
    assert "test/loss (lower is better; geometric means and their ratios)" in text
    assert text.count("  x1.") >= 5
    assert "  0.1079  baseline" in text


def test_several_data_sets_have_a_table_each_and_one_over_all() -> None:
    comparison = many_data_sets()
    lines = report_text(comparison).splitlines()
    titles = [line.partition(":")[0] for line in lines if ": 360 test samples, over splits" in line]
    assert titles == [table.data for table in comparison.tables]
    over = lines.index("over 6 data sets, each with weight 1")
    assert over > lines.index(next(line for line in lines if line.startswith(f"{titles[-1]}: ")))
    assert lines[over + 2].split()[:4] == ["1", "adamw", "6/6", ".8338"]
    assert "ranks      a difference of mean ranks above 1.85 is settled (Nemenyi)" in lines


def test_single_arm_shows_the_interval_of_its_mean() -> None:
    table = study().tables[0]
    arm = replace(table.arms[0], low=0.9701, high=0.9761)
    one = replace(table, arms=[arm], differences=[], groups=[[arm.name]])
    text = report_text(replace(study(), tables=[one], factors={}))
    assert "against" not in text
    assert "[.9701, .9761]" in text
    assert text.splitlines()[1] == "test/accuracy on 360 test samples, over splits of this data set; 10 seeds"


@pytest.mark.parametrize("new", [True, False])
def test_look_shows_the_error_rate_that_is_spent(new: bool) -> None:
    again = replace(study(), look=Look(2, 20, 30, 0.0119, 0.0408, 3, new=new))
    assert "20 of 30 planned seeds, second look (level .0119, .0408 spent, Holm over 3)" in report_text(again)


def test_groups_are_written_by_rank() -> None:
    table = study().tables[0]
    pairs = [Difference(b, a, 10, None, None, None, None, None, 0.03, None, None, "not settled")
             for a, b in combinations(NAMES, 2)]  # fmt: skip
    groups = [[NAMES[0], NAMES[1], NAMES[2]], [NAMES[2], NAMES[3]]]
    text = report_text(replace(study(), tables=[replace(table, groups=groups, differences=pairs)]))
    assert "groups     {1-3} {3 4}" in text
