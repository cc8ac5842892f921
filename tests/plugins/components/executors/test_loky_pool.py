import os
import resource
import signal
import threading
import time
from concurrent.futures import CancelledError

import pytest

from harness.execution.workers import died
from harness_components.executors import loky_pool
from tests.plugins.components.executors.helpers import KILL, gone, seen, until
from tests.plugins.components.helpers import make


def test_shutdown_finishes_running_tasks_and_cancels_queued_ones(tmp_path):
    executor = make("executor", "loky", jobs=1)
    began = executor.submit(exec, until(tmp_path / "open", tmp_path / "began"))
    queued = executor.submit(pow, 2, 3)
    seen(tmp_path / "began")
    threading.Timer(0.2, (tmp_path / "open").touch).start()
    executor.shutdown(cancel_futures=True)
    assert (began.exception(), queued.cancelled()) == (None, True)


def test_loky_loses_only_the_task_of_a_killed_worker(tmp_path):
    with make("executor", "loky", jobs=2) as executor:
        other = executor.submit(exec, until(tmp_path / "open", tmp_path / "began"))
        seen(tmp_path / "began")
        for _ in range(3):
            assert died(executor.submit(*KILL).exception())
        assert not other.done()
        (tmp_path / "open").touch()
        assert other.exception() is None


def test_loky_replaces_a_worker_that_died_before_the_task():
    with make("executor", "loky", jobs=1) as executor:
        pid = executor.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        (seat,) = executor._pool.free.queue
        while not seat._pool._flags.broken:  # the pool has not noticed yet
            time.sleep(0.01)
        assert executor.submit(os.getpid).result() != pid


def test_loky_kills_its_workers_at_the_limit_of_open_files(tmp_path, caplog):
    """loky itself cannot, and the end of this process would wait for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with make("executor", "loky", jobs=1) as executor:
        pid = executor.submit(os.getpid).result()
        running = executor.submit(exec, until(tmp_path / "open", tmp_path / "began"))
        seen(tmp_path / "began")
        os.close(free := os.dup(0))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            executor.kill()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert gone(pid)
        assert running.exception() is not None
        assert "executor manager thread" not in caplog.text


def test_loky_keeps_workers_for_the_next_sweep_of_equal_size():
    def pids(jobs):
        with make("executor", "loky", jobs=jobs) as executor:
            slowly = "(__import__('time').sleep(0.5), __import__('os').getpid())[1]"
            return set(executor.map(eval, [slowly] * jobs))

    two = pids(2)
    assert len(two) == 2
    assert pids(2) == two
    assert not pids(3) & two
    assert all(gone(pid) for pid in two)


def test_loky_restarts_workers_after_a_code_change(tmp_path, monkeypatch):
    (tmp_path / "helper_of_a_plugin.py").write_text("def answer():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import helper_of_a_plugin as helper

    with make("executor", "loky", jobs=1) as executor:
        assert executor.submit(helper.answer).result() == 1
    (tmp_path / "helper_of_a_plugin.py").write_text("def answer():\n    return 22\n")
    with make("executor", "loky", jobs=1) as executor:
        assert executor.submit(helper.answer).result() == 22


def test_loky_workers_follow_the_launchers_folder_and_environment(tmp_path, monkeypatch):
    with make("executor", "loky", jobs=1) as executor:
        pid = executor.submit(os.getpid).result()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SOMETHING_NEW", "1")
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "late.py").write_text("def here():\n    return __file__\n")
        import late

        assert executor.submit(late.here).result() == str(tmp_path / "late.py")
        assert executor.submit(os.getcwd).result() == str(tmp_path)
        assert executor.submit(os.getenv, "SOMETHING_NEW").result() == "1"
        monkeypatch.delenv("SOMETHING_NEW")
        assert executor.submit(os.getenv, "SOMETHING_NEW").result() is None
        assert executor.submit(os.getpid).result() == pid


def test_loky_does_not_use_the_workers_of_a_parent_process(monkeypatch):
    first = loky_pool.WARM.take([{"A": "1"}])
    assert loky_pool.WARM.take([{"A": "1"}]) is first
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        assert loky_pool.WARM.take([{"A": "1"}]) is not first
    assert loky_pool.WARM.inherited.pop() is first


def test_loky_ends_the_worker_of_an_interrupted_task(tmp_path):
    executor = make("executor", "loky", jobs=1)
    pid = executor.submit(os.getpid).result()
    running = None

    def sweep():
        nonlocal running
        with executor:
            running = executor.submit(exec, until(tmp_path / "never", tmp_path / "began"))
            seen(tmp_path / "began")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep()
    assert running.exception() is not None
    assert gone(pid)
    with make("executor", "loky", jobs=1) as after:
        assert after.submit(pow, 2, 3).result() == 8


def test_loky_runs_no_task_after_a_kill():
    seat = loky_pool.Worker({})
    killed = loky_pool.threading.Event()
    killed.set()
    with pytest.raises(CancelledError):
        seat.run(b"", killed)
    seat.kill()
