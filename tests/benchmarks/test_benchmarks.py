"""Tests that benchmarks run at a toy size, and of the statistics that they compute. No time is asserted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks import cases, memory, overhead, paths, peak, single_run, startup, stock, sweep, watching
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.contest import Contest
from benchmarks.measure import interleave, interval, ratio, table
from benchmarks.warm import LeftOut, Warm


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


SOON = ("single_run", "startup")  # the others start many processes, which takes minutes


@pytest.mark.parametrize("name", [n if n in SOON else pytest.param(n, marks=pytest.mark.slow) for n in BENCHMARKS])
def test_benchmark_runs_at_a_toy_size(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    main(["--quick", name])
    out = capsys.readouterr().out
    names = {
        "single_run": (single_run.OURS, single_run.LOOP, single_run.FUSED, single_run.STOCK),
        "memory": memory.NAMES if memory.CLEAR.exists() else ("needs Linux",),
        "startup": (startup.BARE, *startup.OURS),
        "sweep": sweep.ALL,
        "sweep_small": tuple(name for name in sweep.ALL if name not in (sweep.STOCK, sweep.JOBLIB)),
        "sweep_cnn": (sweep.OURS, sweep.LOOP, sweep.FUSED, sweep.JAX),
        "sweep_images": (sweep.OURS, sweep.LOKY),
        "paths": (*paths.PLAIN, paths.AUTO, *paths.TOYS),
        "peak": (peak.OURS, peak.ONE, peak.LOOP),
        "overhead": ("2 runs", "4 runs", overhead.BARE),
        "watching": tuple(watching.SETS),
    }
    assert all(contestant in out for contestant in names[name])  # a contestant that cannot take part is named, too
    assert not list(tmp_path.iterdir())


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
            process.ask("benchmarks.sweep_peers:loop", **_plain("nothing.npz"))
        assert process.ask("benchmarks.sweep_peers:bare", count=2)["ms"] > 0  # and it continues
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
    assert (len(x), math.prod(x.shape[1:]), y.max() + 1) == (peak.TRAINED, peak.INPUTS, peak.CLASSES)
    assert peak.flops(cases.DIGITS) == 6 * (64 * 128 + 128 * 128 + 128 * 10) * len(x) * 20


def test_first_run_of_each_process_is_not_counted():
    assert stock.warm_seconds([(1, 5.0), (1, 6.0), (1, 7.0)]) == 1.0
    assert stock.warm_seconds([(1, 5.0), (1, 6.0), (1, 7.0), (2, 9.0), (2, 10.0)]) == 0.5


def test_unequal_accuracies_are_warned_of():
    times = {"one": {"accuracy": [0.97]}, "other": {"accuracy": [0.96]}}
    assert sweep.agreement(times) == ""
    times["third"] = {"accuracy": [0.93]}
    assert "WARNING" in sweep.agreement(times)
    assert "third 0.930, one 0.970" in sweep.agreement(times)


def test_jax_peer_keeps_its_best_chunk(tmp_path):
    speeds = {f"{sweep.JAX}, 64 as one": 9.0, f"{sweep.JAX}, 16 as one": 4.0, "loop": 5.0}
    contest = Contest(tmp_path, start=dict.fromkeys(speeds, 1.0))
    for name, ms in speeds.items():
        contest.asked[name] = lambda ms=ms: {"ms": ms, "compiling": 1.5}
    sweep.choose_jax(contest)
    assert list(contest.asked) == list(contest.start) == [f"{sweep.JAX}, 16 as one", "loop"]
    assert "64 as one: 9.0 ms" in contest.notes[0]


def test_auto_path_is_compared_with_the_better_fixed_path():
    times = {
        "auto": {"ms": [11.0, 22.0, 33.0]},
        "alone": {"ms": [10.0, 20.0, 30.0]},
        "fused": {"ms": [9.0, 90.0, 99.0]},
    }
    comparison = paths.Found(times, "alone, in_process", [])
    assert comparison.better == "alone"
    assert comparison.against_better().show() == "1.10 [1.10, 1.10]"


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_jax_peer_steps_match_torch(model):
    jax = pytest.importorskip("jax")
    from benchmarks import jax_peer
    from benchmarks.stock_app.networks import network

    params = jax_peer.initial(0, model, (1, 8, 8), 10, 16, 2)
    net = network(model, (1, 8, 8), 10, 16, 2)
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), jax.tree_util.tree_leaves(params), strict=True):
            ours.copy_(torch.from_numpy(theirs))
    x, y = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 9])
    optimizer = torch.optim.Adam(net.parameters(), 0.001)
    zeros = jax.tree_util.tree_map(np.zeros_like, params)
    state = (params, zeros, zeros)
    for step in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        grads = jax.grad(jax_peer.entropy)(state[0], x.numpy(), y.numpy(), np.ones(5, np.float32))
        state = jax_peer.adam(*state, np.float32(step + 1), np.float32(0.001), grads)
    for ours, theirs in zip(net.parameters(), jax.tree_util.tree_leaves(state[0]), strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-5)


def _plain(arrays):
    sizes = {"model": "mlp", "width": 8, "depth": 1, "batch_size": 8, "epochs": 1}
    return {"arrays": arrays, "runs": [[0, 0.01]], **sizes}
