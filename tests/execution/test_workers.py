import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from loky.process_executor import BrokenProcessPool as Unreadable
from loky.process_executor import TerminatedWorkerError

from harness.execution import workers
from harness.execution.workers import (
    TaskEnded,
    TaskError,
    died,
    environments,
    gpus,
    no_interrupts,
    pack,
    perform,
    worker_count,
)
from harness.system.errors import HarnessError

UncompletedJobError = pytest.importorskip("submitit.core.utils").UncompletedJobError
FailedJobError = pytest.importorskip("submitit.core.utils").FailedJobError
KilledWorker = pytest.importorskip("distributed.scheduler").KilledWorker


class Subclass(TerminatedWorkerError):
    pass


@pytest.mark.parametrize(
    ("error", "dead"),
    [
        (BrokenProcessPool("killed"), True),
        (TerminatedWorkerError("killed"), True),
        (Subclass("killed"), True),
        (Unreadable("a result that cannot be unpickled"), False),
        (UncompletedJobError("no result"), True),
        (FailedJobError("raised"), False),
        (KilledWorker("task", None, 0), True),
        (TaskEnded("SystemExit(1)"), False),
        (MemoryError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_worker_death_is_distinguished_from_an_exception(error, dead):
    assert died(error) is dead


def test_died_imports_no_executor():
    code = "import sys; from harness.execution.workers import died; died(ValueError()); "
    code += "print({*sys.modules} & {*sys.argv})"
    names = ["loky", "submitit", "distributed", "torch", "cloudpickle"]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_worker_count_is_the_available_cores(monkeypatch):
    assert (worker_count(1), worker_count(7)) == (1, 7)
    assert 1 <= worker_count("auto") <= os.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert worker_count("auto") == 1


@pytest.mark.parametrize(
    ("count", "named", "expected"),
    [(0, None, []), (0, "", []), (2, None, ["0", "1"]), (2, "3, GPU-8a,-1", ["3", "GPU-8a"])],
)
def test_gpus_follow_cuda_visible_devices(count, named, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpus() == expected


def test_apple_gpu_counts_as_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert gpus() == ["0"]


@pytest.mark.parametrize(
    ("jobs", "accelerator", "devices"),
    [
        (1, "auto", ["4"]),
        (8, "auto", ["4", "5"]),
        (8, "gpu", ["4", "5"]),
        (3, "cpu", ["", "", ""]),
    ],
)
def test_gpu_has_one_worker(jobs, accelerator, devices, monkeypatch):
    monkeypatch.setattr(workers, "gpus", lambda: ["4", "5"])
    variables = environments(jobs, accelerator)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in variables] == devices
    assert {one["OMP_NUM_THREADS"] + one["MKL_NUM_THREADS"] + one["OPENBLAS_NUM_THREADS"] for one in variables} == {
        "111"
    }


def test_environments_without_gpus(monkeypatch):
    monkeypatch.setattr(workers, "gpus", list)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments(2, "auto")] == ["", ""]
    with pytest.raises(HarnessError, match="sees no GPU"):
        environments(2, "gpu")


class TwoWords(Exception):
    """Cannot be unpickled: its arguments are not those of its class."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def raises(error):
    raise error


def test_task_returns_its_value_or_raises_its_exception():
    assert perform(pack(pow, (2, 3), {})) == 8
    assert perform(pack(sorted, ([1, 2],), {"reverse": True})) == [2, 1]
    with pytest.raises(KeyError):
        perform(pack(raises, (KeyError("a"),), {}))


def test_exception_that_cannot_be_pickled_is_sent_as_text():
    def wrong():
        raise TwoWords("one", "two")

    with pytest.raises(TaskError, match=r"TwoWords: one two\n\nTraceback"):
        perform(pack(wrong, (), {}))


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_exit_in_a_task_does_not_end_its_worker(end):
    with pytest.raises(TaskEnded, match=type(end).__name__):
        perform(pack(raises, (end,), {}))


def test_unreadable_task_raises_its_error():
    with pytest.raises(ModuleNotFoundError):
        perform(pack(pow, (2, 3), {}).replace(b"builtins", b"builtons"))


def test_no_interrupts_blocks_sigint():
    def blocked():
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with no_interrupts():
        assert blocked()
    assert not blocked()
