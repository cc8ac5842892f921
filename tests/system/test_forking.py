"""Tests of functions called in a forked process: results, errors and deaths are reported, nothing else remains."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import threadpoolctl
import torch
from torch.utils.data import DataLoader, TensorDataset

from harness.system.forking import ProcessDied, call_forked
from tests.plugins.components.executors.helpers import gone

pytestmark = pytest.mark.timeout(60)  # a child that waits for missing threads would wait forever


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Check after each test that this process has the children that it had before."""
    before = set(psutil.Process().children())
    known = set(multiprocessing.active_children())  # forked workers of tests before this one
    yield
    assert set(multiprocessing.active_children()) <= known
    assert set(psutil.Process().children()) <= before


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Set two threads, and compute with them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    busy(1000)
    yield
    torch.set_num_threads(before)


def busy(size: int) -> float:
    """Multithreaded work: a product, which MKL divides, and a sum and a map, which torch does."""
    x = torch.linspace(-1, 1, size * size).reshape(size, size)
    return float((x @ x).exp().sum())


def threads() -> tuple[int, set[int]]:
    return torch.get_num_threads(), {int(pool["num_threads"]) for pool in threadpoolctl.threadpool_info()}


class Waiting:
    """Garbage whose finaliser ends any other process than its own."""

    def __init__(self) -> None:
        self.me, self.pid = self, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.pid:
            os._exit(3)


def test_garbage_of_the_parent_is_not_collected_in_the_child() -> None:
    gc.disable()
    try:
        Waiting()
        (collected,) = call_forked(gc.collect)  # raises if the child ends without an answer
        assert collected >= 0
    finally:
        gc.enable()


def test_result_comes_back_from_another_process() -> None:
    ((pid, answer),) = call_forked(lambda *args, **kwargs: (os.getpid(), (args, kwargs)), 1, [2], three=3)
    assert pid != os.getpid()
    assert answer == ((1, [2]), {"three": 3})
    assert len(call_forked(bytes, 1 << 20)[0]) == 1 << 20  # more than a pipe holds


def test_several_children_run_at_once() -> None:
    barrier = multiprocessing.get_context("fork").Barrier(3)
    answers = call_forked(lambda: (barrier.wait(10) >= 0, os.getpid()), times=3)
    assert [met for met, _ in answers] == [True] * 3
    assert len({pid for _, pid in answers} | {os.getpid()}) == 4
    with pytest.raises(ProcessDied):
        call_forked(signal.raise_signal, signal.SIGKILL, times=2)


def test_exception_is_raised_in_the_parent() -> None:
    with pytest.raises(ZeroDivisionError, match="division"):
        call_forked(divmod, 1, 0)


def test_killed_child_is_reported_by_its_signal() -> None:
    with pytest.raises(ProcessDied, match=r"^its process ended with SIGKILL$"):
        call_forked(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(ProcessDied, match=r"^its process ended with SIGTERM$"):
        call_forked(signal.raise_signal, signal.SIGTERM)


@pytest.mark.parametrize("end", [os._exit, sys.exit])
def test_exited_child_is_reported_by_its_status(end: object) -> None:
    with pytest.raises(ProcessDied, match=r"^its process ended with status 3$"):
        call_forked(end, 3)  # type: ignore[arg-type]


def test_child_has_one_thread(two_threads: None) -> None:
    assert threads()[0] == 2
    assert call_forked(threads) == [(1, {1})]
    assert threads()[0] == 2


def test_child_computes_after_a_multithreaded_parent(two_threads: None) -> None:
    assert call_forked(busy, 1000) == [pytest.approx(busy(1000), rel=1e-4)]


def test_child_does_not_change_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEFT_BEHIND", raising=False)
    kept: list[int] = []

    def change() -> list[float]:
        kept.append(1)
        os.environ["LEFT_BEHIND"] = "1"
        os.chdir(tmp_path)
        return torch.rand(3).tolist()

    where, state = os.getcwd(), torch.random.get_rng_state()
    (drawn,) = call_forked(change)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (kept, os.environ.get("LEFT_BEHIND"), os.getcwd()) == ([], None, where)
    with torch.random.fork_rng(devices=[]):
        assert torch.rand(3).tolist() == drawn  # it starts from the parent's state


def test_interrupt_of_the_parent_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where tests are run
    pid_file = tmp_path / "pid"

    def sleep() -> None:
        pid_file.write_text(str(os.getpid()))
        time.sleep(3600)  # longer than a test may take

    def interrupt() -> None:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call_forked(sleep)
    finally:
        signal.signal(signal.SIGINT, before)
        waiting.join()
    assert gone(int(pid_file.read_text()), within=1.0)


def test_child_may_use_loader_processes() -> None:
    data = TensorDataset(torch.arange(8))
    assert call_forked(lambda: sum(int(x.sum()) for (x,) in DataLoader(data, batch_size=4, num_workers=1))) == [28]


def test_child_ignores_interrupts() -> None:
    assert call_forked(lambda: signal.raise_signal(signal.SIGINT) or "went on") == ["went on"]


def test_function_runs_in_this_process_once_a_gpu_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert call_forked(os.getpid, times=3) == [os.getpid()]
    with pytest.raises(ZeroDivisionError):
        call_forked(divmod, 1, 0)
