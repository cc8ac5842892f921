"""Tests of the doctor's bench: planted troubles are named, healthy runs are not accused, and overrides help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.plugins.doctor import judged as cases
from tests.plugins.doctor import judged_tables, tuning, tuning_tables
from tests.plugins.doctor.advice import DRAWS, SEEDS, Advice, advised, gain, held_out
from tests.plugins.doctor.bench import Look, Result, judged, looking, wilson
from tests.plugins.doctor.case import Case, planted
from tests.plugins.doctor.table import PAGE, advice_table, confusion, headline, mended, written

# Cases that train quickly: the first of some troubles, and two healthy runs.
QUICK = (
    "symmetric units", "learning rate too high", "learning rate too low", "wrong loss", "dying ReLU",
    "batch norm in the wrong mode", "leak between splits", "memory",
)  # fmt: skip
TEN = [
    *(next(case for case in cases.PLANTED if case.trouble == trouble) for trouble in QUICK),
    *[case for case in cases.HEALTHY if "data=breast_cancer" in case.overrides][:2],
]
TABLES = [
    *(
        next(case for case in judged_tables.PLANTED if case.trouble == trouble)
        for trouble in ("leak between splits", "targets not scaled", "target among the inputs")
    ),
    *judged_tables.HEALTHY[2:6:3],
]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Train and examine with the planted plugin installed; one examination and folder for all cases."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "site").mkdir()
    with pytest.MonkeyPatch.context() as patch, planted(folder / "site"):
        patch.chdir(folder)
        yield looking("judged")


def test_judged_cases_were_not_tuned_on() -> None:
    of = [{case.overrides for case in (*module.PLANTED, *module.HEALTHY)} for module in (tuning, cases)]
    assert not of[0] & of[1]
    assert len(cases.PLANTED) >= 40
    assert len(cases.HEALTHY) >= 60
    assert {case.trouble for case in cases.PLANTED} == {case.trouble for case in tuning.PLANTED}


def test_judged_tables_were_not_tuned_on() -> None:
    modules = (tuning_tables, judged_tables)
    of = [{drawn(case) for case in (*module.PLANTED, *module.HEALTHY)} for module in modules]
    assert not of[0] & of[1]
    assert len(judged_tables.PLANTED) >= 20
    assert len(judged_tables.HEALTHY) >= 40
    assert {case.trouble for case in judged_tables.PLANTED} == {case.trouble for case in tuning_tables.PLANTED}


def drawn(case: Case) -> str:
    """Return the draw of a case's table."""
    return next(word for word in case.words if word.startswith("data.draw="))


@pytest.mark.parametrize("case", [*TEN, *TABLES], ids=lambda case: case.overrides)
def test_doctor_names_the_trouble_of_some_cases(case: Case, look: Look) -> None:
    (result,) = judged([case], look, mending=False)
    assert result.named == case.trouble, result.findings


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("module", "least"), [(cases, 25), (judged_tables, 12)], ids=["textbook", "tables"])
def test_doctor_names_troubles_of_all_cases(module: ModuleType, least: int, look: Look) -> None:
    results = list(judged([*module.PLANTED, *module.HEALTHY], look, mending=True))
    sick, well = [r for r in results if r.case.trouble], [r for r in results if not r.case.trouble]
    assert sum(r.right for r in sick) >= 0.9 * len(sick), headline(results) + "\n" + confusion(results)
    assert sum(not r.right for r in well) <= 0.05 * len(well), headline(results)
    assert sum(r.mended for r in sick) >= least, mended(results)
    tried = [r for r in results if r.after is not None]
    assert sum(r.worse for r in tried) <= 0.02 * len(tried), mended(results)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_advice_is_rarely_worse(look: Look) -> None:
    results = [(case, advices) for case, _, advices in advised(held_out(DRAWS), look)]
    advices = [advice for _, advice in results if advice is not None]
    assert len(advices) >= 30, advice_table(results)
    assert sum(a.worse for a in advices) <= 0.02 * len(advices), advice_table(results)


def test_advice_is_worse_beyond_its_margin_and_by_significance() -> None:
    def verdicts(*gains: float, metric: str = "test/accuracy") -> tuple[bool, bool, bool]:
        one = Advice(Case(""), "x", ("a=b",), "", metric, gains)
        return one.worse, one.lower, one.better

    assert verdicts(-0.03, -0.02, -0.04, -0.03, -0.02) == (True, True, False)
    assert verdicts(-0.2, 0.1, -0.2, 0.1, -0.1) == (False, True, False)
    assert verdicts(-0.002, -0.001, -0.002, -0.003, -0.002) == (False, False, False)
    assert verdicts(0.2, 0.1, 0.2, 0.1, 0.2) == (False, False, True)
    assert verdicts(-0.03, -0.02, -0.04, -0.03, -0.02, metric="test/mse") == (False, False, False)
    assert gain(2.0, 1.0, False) == pytest.approx(-gain(1.0, 2.0, False), rel=1e-12, abs=0)
    assert gain(0.5, float("nan"), True) == -0.5
    assert SEEDS > 2


def test_advice_is_judged_on_separate_draws() -> None:
    known = (*tuning_tables.PLANTED, *tuning_tables.HEALTHY, *judged_tables.PLANTED, *judged_tables.HEALTHY)
    result = held_out(DRAWS)
    assert not {drawn(case) for case in result if "data.draw=" in case.overrides} & {drawn(case) for case in known}
    assert len({case.overrides for case in result}) == len(result) >= 50


def test_wilson_interval_is_scipys() -> None:
    from scipy.stats import binomtest

    for hits, of in ((0, 10), (5, 10), (47, 52), (60, 60)):
        exact = binomtest(hits, of).proportion_ci(0.95, "wilson")
        assert wilson(hits, of) == pytest.approx((exact.low, exact.high), abs=1e-4)


def test_doctor_page_has_the_tables() -> None:
    page = PAGE.read_text()
    assert written(page, {"judged": "x", "mended": "y"}).count("\nx\n") == 1
    planted = {case.trouble for case in (*cases.PLANTED, *judged_tables.PLANTED)}
    assert all(f"| {trouble} |" in page for trouble in planted)


def test_result_is_mended_only_if_better(tmp_path: Path) -> None:
    from harness_doctor.evidence import RunEvidence
    from tests.plugins.doctor.bench import Run

    seen = RunEvidence({}, {}, "completed", None, {}, {}, counts={"val": 100, "test": 100})
    worse, better = (Run(score, "val/accuracy", True, seen, [], score) for score in (0.4, 0.9))
    assert Result(Case("", "x"), worse, [], better).mended
    assert not Result(Case("", "x"), better, [], worse).mended
    assert Result(Case("", "x"), better, [], worse).worse
    assert not Result(Case("", "x"), worse, [], better).worse
    assert not Result(Case("", "x"), worse, [], better, "underfitting").mended
