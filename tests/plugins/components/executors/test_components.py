import os
import signal
import sys
import time
from concurrent.futures import wait

import pytest

from harness.execution.workers import TaskEnded, died
from harness.system.errors import HarnessError
from harness_components.executors import components as components
from tests.plugins.components.executors.helpers import KILL, gone, launched, settings
from tests.plugins.components.helpers import make

OVER_PROCESSES = ["loky", "submitit", "dask"]


@pytest.fixture
def executor(request, tmp_path):
    """An executor with two workers, by its name."""
    with make("executor", request.param, settings(request.param, tmp_path), jobs=2) as instance:
        yield instance


def over(*names):
    return pytest.mark.parametrize("executor", names, indirect=True)


def test_in_process_runs_each_call_at_once_in_this_process():
    seen = []
    with make("executor", "in_process", jobs=4) as executor:
        futures = [executor.submit(lambda i: (seen.append(i), os.getpid()), i) for i in range(3)]
        assert seen == [0, 1, 2]
    assert wait(futures).not_done == set()
    assert {future.result()[1] for future in futures} == {os.getpid()}


def test_in_process_keeps_an_error_in_the_future():
    executor = make("executor", "in_process", jobs=1)
    future = executor.submit(divmod, 1, 0)
    with pytest.raises(ZeroDivisionError):
        future.result()
    assert list(executor.map(pow, [2, 3], [2, 2])) == [4, 9]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_in_process_raises_exits_to_its_caller(stop):
    def end():
        raise stop

    with pytest.raises(stop):
        make("executor", "in_process", jobs=1).submit(end)


@over(*OVER_PROCESSES)
def test_task_that_raises_exits_or_is_killed_fails_alone(executor):
    good = [executor.submit(pow, 2, i) for i in range(2)]
    bad = [executor.submit(divmod, 1, 0), executor.submit(sys.exit, 3), executor.submit(*KILL)]
    later = [executor.submit(pow, 3, i) for i in range(2)]
    assert [future.result() for future in good + later] == [1, 2, 1, 3]
    errors = [future.exception() for future in bad]
    assert isinstance(errors[0], ZeroDivisionError)
    assert isinstance(errors[1], TaskEnded)
    assert [died(error) for error in errors] == [False, False, True]
    assert executor.submit(os.getpid).result() != os.getpid()
    assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert executor.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == ""


@over(*OVER_PROCESSES)
def test_queued_tasks_can_be_cancelled_and_running_ones_killed(executor):
    running = [executor.submit(time.sleep, 3600) for _ in range(2)]  # longer than a test may take
    queued = [executor.submit(time.sleep, 3600) for _ in range(3)]
    assert queued[0].cancel()
    executor.kill()
    assert not wait(running + queued, timeout=30).not_done
    assert all(future.cancelled() for future in queued)
    assert all(future.cancelled() or future.exception() for future in running)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(pow, 2, 3)


@pytest.mark.parametrize("name", ["loky", pytest.param("dask", marks=pytest.mark.slow)])
def test_workers_end_with_a_killed_launcher(name, tmp_path):
    with launched(name, tmp_path) as (process, pids):
        process.kill()
        assert pids
        assert all(gone(pid, within=20) for pid in pids)


@pytest.mark.parametrize("name", ["loky", pytest.param("dask", marks=pytest.mark.slow)])
def test_workers_ignore_interrupts_of_the_launcher(name, tmp_path):
    with launched(name, tmp_path) as (process, pids):
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert (output, errors, process.returncode) == ("interrupted\n", "", 130)
        assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(("name", "extra"), [("submitit", "slurm"), ("dask", "dask")])
def test_missing_extra_is_named(name, extra, monkeypatch):
    monkeypatch.setattr(components, "find_spec", lambda _: None)
    with pytest.raises(HarnessError, match=rf"pip install 'dl-harness\[{extra}\]'"):
        make("executor", name, jobs=1)


def test_dask_connects_to_a_running_cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        with make("executor", "dask", {"address": cluster.scheduler_address}, jobs=3) as executor:
            assert list(executor.map(pow, [2, 3], [2, 2])) == [4, 9]
            assert isinstance(executor.submit(sys.exit, 1).exception(), TaskEnded)
        with make("executor", "dask", {"address": cluster.scheduler_address}, jobs=1) as executor:
            assert executor.submit(pow, 2, 3).result() == 8


def test_dask_without_a_scheduler_is_refused():
    with pytest.raises(HarnessError, match="no dask scheduler answers"):
        make("executor", "dask", {"address": "nonsense://1.2.3.4"}, jobs=1)
