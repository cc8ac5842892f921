"""The benchmarks work: each at a toy size, and what they compute from their figures. No time is asserted."""

from __future__ import annotations

import pytest

from benchmarks import memory, single_run, startup
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.measure import interleave, interval, ratio, table


def test_interval_holds_the_median_and_drops_what_95_percent_allow():
    values = [float(v) for v in range(1, 16)]
    found = interval(values)
    assert (found.median, found.low, found.high) == (8.0, 4.0, 12.0)  # binomial(15, 1/2): 96.5% lie between
    assert interval([3.0, 1.0]).show(0) == "2 [1, 3]"
    assert interval([5.0]).show(0) == "5 [5, 5]"


def test_ratios_are_of_one_round():
    rounds = iter([1.0, 1.0, 10.0, 2.0, 20.0, 200.0])
    times = {"ours": {"fit": [2.0, 20.0, 200.0]}, "theirs": {"fit": [1.0, 10.0, 100.0]}}
    assert ratio(times, "fit", "ours", "theirs").show() == "2.00 [2.00, 2.00]"
    found = interleave({"one": lambda: {"fit": next(rounds)}, "two": lambda: {"fit": next(rounds)}}, rounds=2)
    assert sorted([*found["one"]["fit"], *found["two"]["fit"]]) == [2.0, 10.0, 20.0, 200.0]  # the first two: warm-up


def test_table_is_plain():
    assert table("title", ["", "ms"], [["a", "1"]]).splitlines() == ["title", "   ms", "-  --", "a   1"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_runs_at_a_toy_size(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    main(["--quick", name])
    out = capsys.readouterr().out
    names = {
        "single_run": (single_run.OURS, single_run.LOOP, single_run.FUSED, single_run.STOCK),
        "memory": memory.NAMES if memory.CLEAR.exists() else ("needs Linux",),
        "startup": (startup.BARE, *startup.OURS),
    }
    assert all(contestant in out for contestant in names[name])
    assert not list(tmp_path.iterdir())


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["speed"])
    assert stop.value.code == 2
    assert "no benchmark 'speed'" in capsys.readouterr().err
