"""Tests of machine faults, such as a full disk: a run is interrupted, not failed, and can be trained again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from loky.process_executor import _RemoteTraceback

import harness
from harness.cli import main
from harness.execution import run_recorder
from harness.results import curves
from harness.results.machine_faults import MACHINE_FAULT, machine_fault
from harness.system.errors import CannotWrite
from harness_components.tensorboard import event_files
from tests.execution.sweep.commands import Forking, forking, left_over, statuses

TINY = ["data=iris", "model=mlp", "model.width=8", "epochs=2"]
STUDY = Path("outputs/scratch")
FULL = "No space left on device"


def command(*line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*TINY, *line])
    return int(stop.value.code or 0)


def raises(error: BaseException) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE", "EROFS", "EIO", "ESTALE"])
def test_system_errors_are_machine_faults(name: str) -> None:
    number = getattr(errno, name)
    error = OSError(number, os.strerror(number), "curves.csv")
    fault = machine_fault(error)
    assert fault is not None
    assert fault.endswith(f"(curves.csv: {os.strerror(number)})")
    assert machine_fault(CannotWrite.from_os_error("run", error)) is not None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to write to file </torch_51_3007_0>: No space left on device (28)"),
        RuntimeError("unable to open shared memory object </torch_51_3> in read-write mode: Too many open files (24)"),
        RuntimeError("unable to allocate shared memory(shm) for file </torch_51_3007_0>: Success (0)"),
        RuntimeError("DataLoader worker (pid 5) is killed by signal: Bus error. It is possible that dataloader's "
                     "workers are out of shared memory. Please try to raise your shared memory limit."),
        RuntimeError("received 0 items of ancdata"),
        OSError("Caught OSError in DataLoader worker process 0.\nTraceback:\nOSError: [Errno 28] No space left on "
                "device"),
        OSError("1000 requested and 512 written"),
    ],
)  # fmt: skip
def test_messages_of_libraries_are_machine_faults(error: BaseException) -> None:
    fault = machine_fault(error)
    assert fault is not None
    assert "\n" not in fault


def remote(text: str) -> BaseException:
    """The error of a process pool whose manager met another error, given as text."""
    error = BrokenProcessPool("The executor manager thread crashed")
    error.__cause__ = _RemoteTraceback(f"Traceback (most recent call last):\n  ...\n{text}\n")
    return error


def test_error_in_a_pools_manager_is_recognized() -> None:
    fault = machine_fault(remote("OSError: [Errno 24] Too many open files: '/proc/7/stat'"))
    assert fault is not None
    assert fault.startswith("too many open files: raise the limit with ulimit -n (")
    assert "\n" not in fault
    assert machine_fault(remote(f"ValueError: {FULL}")) is None
    assert machine_fault(remote("RuntimeError: it is odd")) is None


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "table.csv"),
        PermissionError(errno.EACCES, "Permission denied", "table.csv"),
        OSError("no number"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        MemoryError(),
        ValueError(FULL),
    ],
)
def test_error_of_the_run_is_no_machine_fault(error: BaseException) -> None:
    assert machine_fault(error) is None


def test_cause_and_context_are_searched() -> None:
    full = OSError(errno.ENOSPC, FULL)
    caused, met, hidden = ValueError("a"), ValueError("b"), ValueError("c")
    caused.__cause__, met.__context__, hidden.__context__ = full, full, full
    hidden.__suppress_context__ = True
    full.__context__ = caused  # the search ends in a cycle
    assert machine_fault(caused) == machine_fault(met) == f"the disk is full ({FULL})"
    assert machine_fault(hidden) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_full_disk_is_recognized_when_saving_weights() -> None:
    with pytest.raises((OSError, RuntimeError)) as caught, open("/dev/full", "wb") as file:
        torch.save({"a": torch.zeros(100_000)}, file)
    assert machine_fault(caught.value) == f"the disk is full ({FULL})"


PLACES = {
    "curves": (curves.Curves, "flush"),
    "weights": (run_recorder, "save_weights"),
    "logger": (event_files.Events, "_write"),
    "log.txt": (run_recorder.RunRecorder, "_say"),
}


@pytest.mark.parametrize("place", PLACES)
def test_run_is_interrupted_and_trained_again(
    place: str, workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(*PLACES[place], raises(OSError(errno.ENOSPC, FULL)))
        assert command() == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line for line in lines if "error" in line] == [lines[-1]]
    assert lines[-1].startswith(f"harness: error: the disk is full ({FULL}). Fix this and run the same line again")
    (record,) = harness.load("scratch")
    assert record.status == record.ended["reason"] == "interrupted"
    assert record.error is not None
    assert (record.error["type"], record.error["message"]) == (MACHINE_FAULT, f"the disk is full ({FULL})")
    again = harness.run(TINY)
    assert (again.status, again.cached, again.error) == ("completed", False, None)
    assert left_over(STUDY) == []


def test_unwritable_record_ends_the_command(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", raises(OSError(errno.EDQUOT, "Disk quota exceeded")))
        assert command() == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("harness: error: cannot write outputs/scratch/")
    assert message.endswith("Disk quota exceeded")
    assert harness.run(TINY).status == "completed"


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_sweep_begins_no_further_run(
    path: str, workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-m", f"path={path}", "executor=in_process", "seed=0,1,2,3"]
    whole, written = curves.Curves.flush, []

    def flush(self: curves.Curves) -> None:
        written.append(self.path.parent)
        if self.path.parent != written[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        whole(self)

    with monkeypatch.context() as patch:
        patch.setattr(curves.Curves, "flush", flush)
        assert command(*line) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(
        "harness: error: too many open files: raise the limit with ulimit -n (Too many open files)"
    )
    endings = [record.status for record in harness.load("scratch")]
    assert set(endings) <= {"completed", "interrupted"}
    if path == "alone":
        assert sorted(endings) == ["completed", "interrupted"]
    assert left_over(STUDY) == []
    assert command(*line) == 0
    assert [record.status for record in harness.load("scratch")] == ["completed"] * 4


def test_error_outside_of_runs_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.EMFILE, "Too many open files", "a")
    monkeypatch.setattr(import_module("harness.cli.main"), "dispatch", raises(error))
    assert command() == 1
    message = "harness: error: too many open files: raise the limit with ulimit -n (a: Too many open files)\n"
    assert capsys.readouterr().err == message


def test_file_limit_message_has_a_remedy() -> None:
    error = CannotWrite.from_os_error("run", OSError(errno.EMFILE, "Too many open files", "run"))
    assert str(error) == "cannot write run: Too many open files: raise the limit with ulimit -n"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """Start commands by forking, which is fast."""
    with forking(tmp_path_factory.mktemp("site")) as instance:
        yield instance


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_workers_meet_the_limit_of_files(commands: Forking, tmp_path: Path, path: str) -> None:
    """The weights exceed the limit of file size, and the records do not."""
    line = ["-m", "data=iris", "model=mlp", "model.width=600", "epochs=1", "executor=loky", "jobs=2", f"path={path}"]
    line += ["seed=0,1,2,3", "logger=[]", "diagnostic=[]"]
    command = commands.run(*line, folder=tmp_path, limits={"RLIMIT_FSIZE": 12_000}, status=1)
    assert command.errors.splitlines()[-1].startswith("harness: error: a file is larger than ulimit -f")
    study = tmp_path / STUDY
    assert set(statuses(study).values()) == {"interrupted"}
    assert left_over(study) == []
    commands.run(*line, folder=tmp_path)
    assert list(statuses(study).values()) == ["completed"] * 4


def test_component_that_finds_no_file_has_failed(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "words.txt")
    monkeypatch.setattr("harness.modeling.builder.make_model", raises(error))
    assert harness.run(TINY).status == "failed"
