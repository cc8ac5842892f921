"""Looks at a study are kept, and the same data looked at again spends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis.comparison.looks import FILE, Looks
from harness.analysis.stats.looks import spend
from harness.system.errors import HarnessError

PAIR = ("adam", "sgd")


def _look(folder: Path, n: int, digest: str, planned: int | None = None, winner: str = "") -> float:
    looks = Looks(folder)
    question = looks.question("which")
    question.plan(n, planned)
    level = question.look(PAIR, n, digest).level
    if winner:
        question.keep(PAIR, winner=winner)
    assert looks.save() == ""
    return level


def test_levels_of_all_looks_sum_to_the_error_rate(tmp_path: Path) -> None:
    levels = [_look(tmp_path, n, f"data of {n}") for n in (5, 10, 20, 30, 40)]
    assert levels[0] == pytest.approx(spend(5, 0, 30), rel=1e-12, abs=0)
    assert sum(levels) == pytest.approx(0.05, rel=1e-12, abs=0)
    assert levels[-1] == 0


def test_same_data_spends_nothing_again(tmp_path: Path) -> None:
    first = _look(tmp_path, 10, "a")
    text = (tmp_path / FILE).read_text()
    assert _look(tmp_path, 10, "a") == first
    assert (tmp_path / FILE).read_text() == text


def test_other_values_of_the_same_seeds_spend_nothing_and_settle_nothing(tmp_path: Path) -> None:
    _look(tmp_path, 10, "a")
    assert _look(tmp_path, 10, "b") == 0


def test_plan_is_fixed_by_the_first_look(tmp_path: Path) -> None:
    _look(tmp_path, 10, "a", planned=50)
    assert _look(tmp_path, 20, "b") == pytest.approx(spend(20, 10, 50), rel=1e-12, abs=0)
    with pytest.raises(HarnessError, match="50 units were planned"):
        _look(tmp_path, 30, "c", planned=100)


def test_first_launch_of_many_seeds_is_the_plan(tmp_path: Path) -> None:
    assert _look(tmp_path, 64, "a") == pytest.approx(0.05, rel=1e-12, abs=0)


def test_settled_verdict_is_kept(tmp_path: Path) -> None:
    _look(tmp_path, 10, "a", winner="sgd")
    _look(tmp_path, 20, "b")
    settled = Looks(tmp_path).question("which").settled(PAIR)
    assert settled is not None
    assert (settled.winner, settled.n, settled.number) == ("sgd", 10, 1)


def test_torn_and_foreign_lines_are_skipped(tmp_path: Path) -> None:
    _look(tmp_path, 10, "a")
    with (tmp_path / FILE).open("a") as file:
        file.write('{"format":9}\n[1,2]\n"x"\n{"format":1,"question":"which","planned":30,"pairs":[["adam","sgd",-3')
    assert _look(tmp_path, 20, "b") == pytest.approx(spend(20, 10, 30), rel=1e-12, abs=0)
    assert Looks(tmp_path).question("which").number == 2


@pytest.mark.parametrize("row", ['["adam","sgd",-1,"a",0.1,"",null]', '["adam","sgd",10,"a",7,"",null]'])
def test_impossible_numbers_are_skipped(tmp_path: Path, row: str) -> None:
    (tmp_path / FILE).write_text(f'{{"format":1,"question":"which","planned":30,"pairs":[{row}]}}\n')
    assert Looks(tmp_path).question("which").looks == {}


def test_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HarnessError, match="is a link"):
        Looks(tmp_path)


def test_look_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "missing")
    question = looks.question("which")
    question.plan(10, None)
    question.look(PAIR, 10, "a")
    assert "this look is not kept" in looks.save()
