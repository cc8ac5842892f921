"""Tests that benchmarks run at a toy size, and of the statistics that they compute. No time is asserted."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import cases, goals, memory, overhead, paths, peers, single_run, startup, stock, sweep
from benchmarks.__main__ import BENCHMARKS, Benchmark, main
from benchmarks.contest import Contest
from benchmarks.measure import interleave, interval, ratio, table
from benchmarks.peers import CLEAR
from benchmarks.warm import LeftOut, Stopwatch, Warm

ROOT = Path(__file__).parents[2]


def test_interval_is_the_95_percent_interval_of_the_median():
    values = [float(v) for v in range(1, 16)]
    result = interval(values)
    assert (result.median, result.low, result.high) == (8.0, 4.0, 12.0)  # binomial(15, 1/2): 96.5% lie between
    assert interval([3.0, 1.0]).show(0) == "2 [1, 3]"
    assert interval([5.0]).show(0) == "5 [5, 5]"


def test_ratios_are_taken_within_a_round():
    rounds = iter([1.0, 1.0, 10.0, 2.0, 20.0, 200.0])
    times = {"ours": {"fit": [2.0, 20.0, 200.0]}, "theirs": {"fit": [1.0, 10.0, 100.0]}}
    assert ratio(times, "fit", "ours", "theirs").show() == "2.00 [2.00, 2.00]"
    measured = interleave({"one": lambda: {"fit": next(rounds)}, "two": lambda: {"fit": next(rounds)}}, rounds=2)
    counted = [*measured["one"]["fit"], *measured["two"]["fit"]]
    assert sorted(counted) == [2.0, 10.0, 20.0, 200.0]  # the first two are warm-up


def test_table_is_plain_text():
    assert table("title", ["", "ms"], [["a", "1"]]).splitlines() == ["title", "   ms", "-  --", "a   1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_runs_at_a_toy_size(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    out, times = BENCHMARKS[name].report(1, True)
    names = {
        "digits": (*sweep.ALL, sweep.JOBLIB, "fastest float32 product"),
        "small": (sweep.OURS, sweep.LOOP, sweep.FUSED, sweep.JAX),
        "cnn": (sweep.OURS, sweep.LOOP, sweep.FUSED, sweep.JAX),
        "images": (sweep.OURS, sweep.LOKY),
        "single_run": (single_run.OURS, single_run.UNWATCHED, single_run.LOOP, single_run.FUSED),
        "startup": (startup.BARE, *startup.OURS, startup.TORCH, startup.RUN),
        "overhead": ("2 runs", "4 runs", overhead.BARE),
        "paths": (*paths.PLAIN, paths.AUTO, *paths.TOYS),
        "memory": (memory.OURS, memory.LOOP) if CLEAR.exists() else ("needs Linux",),
    }
    assert all(contestant in out for contestant in names[name])  # a contestant that cannot take part is named, too
    assert not list(tmp_path.iterdir())
    for goal in goals.GOALS:
        if goal.benchmark == name and {goal.contestant, goal.over} - {""} <= times.keys():
            assert goal.measured(times, goal.figure) is not None, goal.title()
        elif goal.benchmark == name:
            assert name in ("small", "cnn", "overhead", "paths"), goal.title()  # fewer contestants at a toy size


def test_every_goal_is_of_a_benchmark():
    assert {goal.benchmark for goal in goals.GOALS} == set(BENCHMARKS)
    assert len({(goal.benchmark, goal.contestant, goal.over, goal.figure) for goal in goals.GOALS}) == len(goals.GOALS)


@pytest.mark.parametrize(
    ("at_least", "values", "met"),
    [
        (False, [0.7, 0.8, 0.9], "yes"),
        (False, [1.0], "yes"),
        (False, [0.9, 1.1], "unsettled"),
        (False, [1.1, 1.2], "no"),
        (True, [1.1, 1.2], "yes"),
        (True, [0.9, 1.1], "unsettled"),
        (True, [0.7, 0.8], "no"),
    ],
)
def test_goal_is_met_by_its_whole_interval(at_least, values, met):
    goal = goals.Goal("digits", "ours", "wall", 1.0, over="theirs", at_least=at_least)
    times = {"ours": {"wall": values}, "theirs": {"wall": [1.0] * len(values)}}
    assert goal.met(goal.measured(times, "wall")) == met


def test_summary_names_goals_that_were_not_measured(monkeypatch):
    monkeypatch.setattr(
        goals,
        "GOALS",
        (
            goals.Goal("digits", "ours", "wall", 1.0, over="JAX"),
            goals.Goal("digits", "ours", "wall", 30, over="loop", at_least=True),
            goals.Goal("startup", "ours", "cpu", 3.5, unit="s"),
        ),
    )
    figures = {"ours": {"wall": [3.0], "cpu": [6.0]}, "loop": {"wall": [1.0], "cpu": [1.5]}}
    rows = [line.split("  ") for line in goals.summary({"digits": figures}).splitlines()[3:]]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert rows == [
        ["digits: ours / JAX, time", "<= 1", "not measured"],
        ["digits: ours / loop, time", ">= 30", "3.00 [3.00, 3.00]", "4.00 [4.00, 4.00]", "no"],
    ]


def test_failed_benchmark_does_not_stop_the_others(capsys, monkeypatch):
    def fails(rounds, quick):
        raise AssertionError("unequal accuracies")

    monkeypatch.setitem(BENCHMARKS, "digits", Benchmark(fails, 1))
    monkeypatch.setitem(BENCHMARKS, "small", Benchmark(lambda rounds, quick: (f"{rounds} rounds", {"a": {}}), 5))
    assert main(["digits", "small", "--rounds", "3"]) == 1
    out = capsys.readouterr().out
    assert "digits failed: unequal accuracies" in out
    assert "3 rounds" in out
    assert "not measured" in out


def test_blas_runs_at_its_full_speed(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    program = "import os, benchmarks; print('OPENBLAS_CORETYPE' in os.environ)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


def test_processor_time_counts_children_that_have_ended():
    watch = Stopwatch()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert watch.per_run(1)["cpu"] >= 290
    assert watch.per_run(10)["cpu"] < watch.per_run(1)["cpu"]


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["speed"])
    assert stop.value.code == 2
    assert "no benchmark 'speed'" in capsys.readouterr().err


def test_process_answers_or_gives_its_reason(tmp_path):
    with Warm(tmp_path) as process:
        assert process.ask("math:gcd") == 0
        with pytest.raises(LeftOut, match="no_such_peer is not installed"):
            process.ask("no_such_peer:sweep")
        with pytest.raises(RuntimeError, match="FileNotFoundError"):
            process.ask("benchmarks.peers:loop", **_plain("nothing.npz"))
        assert process.ask("benchmarks.peers:bare", count=2)["wall"] > 0  # and it continues
        assert process.ready() > 0


def test_output_of_a_process_is_shown_when_it_ends(tmp_path):
    with Warm(tmp_path) as process, pytest.raises(RuntimeError, match="it ended"):
        process.ask("os:_exit", status=3)


@pytest.mark.parametrize("case", [cases.SMALL, cases.CNN], ids=["small", "cnn"])
def test_peers_get_the_data_that_harness_trains_on(case):
    case = case.toy()
    with cases.written(case) as work:
        arrays = np.load(work.arrays)
        assert all(len(arrays[f"x_{split}"]) == len(arrays[f"y_{split}"]) for split in cases.SPLITS)
        assert abs(arrays["x_train"].mean()) < 1e-5
        assert len(work.plain(case)["runs"]) == case.runs == 4
        assert f"epochs={case.epochs}" in work.overrides(case)
        assert (work.source is None) == (case.data == "digits")


def test_peak_uses_the_size_of_the_digits_data():
    with cases.written(cases.DIGITS) as work:
        x, y = (np.load(work.arrays)[name] for name in ("x_train", "y_train"))
    assert (len(x), math.prod(x.shape[1:]), y.max() + 1) == (sweep.TRAINED, sweep.INPUTS, sweep.CLASSES)
    assert sweep.flops(cases.DIGITS) == 6 * (64 * 128 + 128 * 128 + 128 * 10) * len(x) * 20


@pytest.fixture
def threads():
    """Restore the number of threads, which peers set to one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_product_names_the_fastest_library(threads):
    found = peers.product([32, 64])
    assert found["flops"] > 0
    assert found["way"].endswith((", 32", ", 64"))


def test_single_run_and_loop_report_the_same_figures(threads, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    case = cases.DIGITS.toy().one(epochs=1)
    with cases.written(case) as work:
        run, loop = peers.harness_run(work.overrides(case)), peers.loop(**work.plain(case), fused=True)
    assert run.keys() == loop.keys() == {"wall", "cpu", "fit_wall", "fit_cpu", "accuracy"}
    assert 0 < run["fit_wall"] < run["wall"]
    assert 0 < loop["fit_wall"] < loop["wall"]
    assert list(tmp_path.glob("outputs/*")) == []


def test_first_run_of_each_process_is_not_counted():
    assert stock.warm_seconds([(1, 5.0), (1, 6.0), (1, 7.0)]) == 1.0
    assert stock.warm_seconds([(1, 5.0), (1, 6.0), (1, 7.0), (2, 9.0), (2, 10.0)]) == 0.5


def test_unequal_accuracies_are_refused():
    times = {"one": {"accuracy": [0.97]}, "other": {"accuracy": [0.96]}, "product": {"flops": [1.0]}}
    sweep.check_agreement(times, close=0.02)
    times["third"] = {"accuracy": [0.93]}
    with pytest.raises(AssertionError, match=r"third 0\.930, one 0\.970"):
        sweep.check_agreement(times, close=0.02)


def test_jax_peer_keeps_its_best_chunk(tmp_path):
    speeds = {f"{sweep.JAX}, 64 as one": 9.0, f"{sweep.JAX}, 16 as one": 4.0, "loop": 5.0}
    contest = Contest(tmp_path, start=dict.fromkeys(speeds, 1.0), runs=dict.fromkeys(speeds, 64))
    for name, wall in speeds.items():
        contest.asked[name] = lambda wall=wall: {"wall": wall}
    sweep.choose_jax(contest)
    assert contest.asked.keys() == contest.start.keys() == contest.runs.keys() == {"loop", sweep.JAX}
    assert contest.asked[sweep.JAX]() == {"wall": 4.0}
    assert "64 as one: 9.0 ms" in contest.notes[0]


def test_auto_path_is_compared_with_the_better_fixed_path():
    fast, slow, *others = paths.PLAIN
    times = {name: {"wall": [9.0, 90.0, 99.0]} for name in (slow, *others)}
    assert paths.better(times | {"auto": {"wall": [1.0, 1.0, 1.0]}, fast: {"wall": [10.0, 20.0, 30.0]}}) == fast


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_jax_peer_steps_match_torch(model):
    jax = pytest.importorskip("jax")
    from benchmarks import jax_peer
    from benchmarks.stock_app.networks import network

    params = jax_peer.initial(0, model, (1, 8, 8), 10, 16, 2)
    net = network(model, (1, 8, 8), 10, 16, 2)
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), jax.tree.leaves(params), strict=True):
            ours.copy_(torch.from_numpy(theirs))
    x, y = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 9])
    optimizer = torch.optim.Adam(net.parameters(), 0.001)
    zeros = jax.tree.map(np.zeros_like, params)
    state = (params, zeros, zeros)
    for step in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        grads = jax.grad(jax_peer.entropy)(state[0], x.numpy(), y.numpy(), np.ones(5, np.float32))
        state = jax_peer.adam(*state, np.float32(step + 1), np.float32(0.001), grads)
    for ours, theirs in zip(net.parameters(), jax.tree.leaves(state[0]), strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-4, atol=1e-5)


def _plain(arrays):
    sizes = {"model": "mlp", "width": 8, "depth": 1, "batch_size": 8, "epochs": 1}
    return {"arrays": arrays, "runs": [[0, 0.01]], **sizes}


@pytest.mark.slow
def test_jax_peer_trains_every_run_on_pinned_processes(tmp_path):
    pytest.importorskip("jax")
    case = cases.SMALL.toy()
    with cases.written(case) as work, Warm(tmp_path, {"JAX_PLATFORMS": "cpu"}) as process:
        one, two = (process.ask("benchmarks.jax_peer:sweep", **work.plain(case), chunk=chunk) for chunk in (1, 2))
    assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.05)  # of few samples; sums differ in the last bits
    assert min(one["wall"], one["cpu"], one["compiling"]) > 0
