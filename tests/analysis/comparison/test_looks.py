"""Looks at a study are kept, and the same data looked at again spends nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.comparison.looks import FILE, Looks, PairLook, Question
from harness.analysis.stats.looks import spend
from harness.system.errors import HarnessError

PAIR = ("adam", "sgd")


def _outcomes(n: int, value: str = "0.5 0.6") -> dict[str, str]:
    return {f"{unit} ()": value for unit in range(n)}


def _look(
    folder: Path, n: int, outcomes: dict[str, str] | None = None, planned: int | None = None, winner: str = ""
) -> PairLook:
    looks = Looks(folder)
    question = looks.question("which")
    question.recall({PAIR: _outcomes(n) if outcomes is None else outcomes})
    question.plan(n, planned)
    look = question.look(PAIR, n)
    if winner:
        question.keep(PAIR, winner=winner)
    assert looks.save() == ""
    return look


def _recalled(folder: Path, n: int, value: str = "0.5 0.6") -> Question:
    question = Looks(folder).question("which")
    question.recall({PAIR: _outcomes(n, value)})
    return question


def test_levels_of_all_looks_sum_to_the_error_rate(tmp_path: Path) -> None:
    levels = [_look(tmp_path, n).level for n in (5, 10, 20, 30, 40)]
    assert levels[0] == pytest.approx(spend(5, 0, 30), rel=1e-12, abs=0)
    assert sum(levels) == pytest.approx(0.05, rel=1e-12, abs=0)
    assert levels[-1] == 0


def test_same_data_spends_nothing_again(tmp_path: Path) -> None:
    first = _look(tmp_path, 10)
    text = (tmp_path / FILE).read_text()
    assert _look(tmp_path, 10) == first
    assert (tmp_path / FILE).read_text() == text


def test_fewer_or_other_seeds_beside_known_ones_spend_nothing(tmp_path: Path) -> None:
    _look(tmp_path, 10)
    more = _outcomes(10) | {"0 ('tanh',)": "0.1 0.2"}  # the same seeds under another level that is averaged over
    assert _look(tmp_path, 10, more).level == 0


def test_other_runs_under_the_same_names_are_another_experiment(tmp_path: Path) -> None:
    first = _look(tmp_path, 10, planned=50, winner="sgd")
    other = _recalled(tmp_path, 20, "0.7 0.8")
    assert (other.settled(PAIR), other.planned) == (None, None)
    again = _look(tmp_path, 10, _outcomes(10, "0.7 0.8"))
    assert (again.number, again.planned, again.level) == (1, 30, pytest.approx(spend(10, 0, 30), rel=1e-12, abs=1e-15))
    assert _recalled(tmp_path, 20).settled(PAIR) == replace(first, winner="sgd")


def test_plan_is_fixed_by_the_first_look(tmp_path: Path) -> None:
    _look(tmp_path, 10, planned=50)
    assert _look(tmp_path, 20).level == pytest.approx(spend(20, 10, 50), rel=1e-12, abs=1e-15)
    with pytest.raises(HarnessError, match="50 units were planned"):
        _look(tmp_path, 30, planned=100)


def test_first_launch_of_many_seeds_is_the_plan(tmp_path: Path) -> None:
    assert _look(tmp_path, 64).level == pytest.approx(0.05, rel=1e-12, abs=1e-15)


def test_settled_verdict_is_kept(tmp_path: Path) -> None:
    _look(tmp_path, 10, winner="sgd")
    _look(tmp_path, 20)
    settled = _recalled(tmp_path, 20).settled(PAIR)
    assert settled is not None
    assert (settled.winner, settled.n, settled.number) == ("sgd", 10, 1)


def test_torn_and_foreign_lines_are_skipped(tmp_path: Path) -> None:
    _look(tmp_path, 10)
    with (tmp_path / FILE).open("a") as file:
        file.write('{"format":9}\n[1,2]\n"x"\n{"format":1,"question":"which","planned":30,"pairs":[["adam","sgd",-3')
    look = _look(tmp_path, 20)
    assert look.level == pytest.approx(spend(20, 10, 30), rel=1e-12, abs=1e-15)
    assert look.number == 2


@pytest.mark.parametrize(
    "row",
    [
        '["adam","sgd",-1,0,"a",0.1,1,"",null]',
        '["adam","sgd",10,0,"a",7,1,"",null]',
        '["adam","sgd",10,0,"a",0.1,0,"",null]',
        '["adam","sgd",10,5,"a",0.1,1,"",null]',
    ],
)
def test_impossible_numbers_are_skipped(tmp_path: Path, row: str) -> None:
    text = f'{{"format":1,"question":"which","planned":30,"places":[["0 ()"]],"pairs":[{row}]}}\n'
    (tmp_path / FILE).write_text(text)
    assert Looks(tmp_path).question("which").looks == {}


def test_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HarnessError, match="is a link"):
        Looks(tmp_path)


def test_look_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "missing")
    question = looks.question("which")
    question.recall({PAIR: _outcomes(10)})
    question.plan(10, None)
    question.look(PAIR, 10)
    assert "this look is not kept" in looks.save()
