import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import psutil
import pytest

from harness.execution.locks import lock_file
from harness.execution.locks.run_lock import RunLocks, alive, holder, holders, tidy
from harness.system.errors import HarnessError
from tests.execution.locks.owners import files, rewrite

IDS = [f"{i:012x}" for i in range(1000)]
CLAIMER = """
import random, sys
from pathlib import Path
from harness.execution.locks.run_lock import RunLocks
study, gate, first, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
claims = RunLocks(study)
print("ready", flush=True)
while not gate.exists():
    pass
ids = [f"{i:012x}" for i in range(first, last)]
random.shuffle(ids)  # else the first one there has them all
parts = [ids[i : i + 7] for i in range(0, len(ids), 7)]
print(*[id for part in parts for id in claims.claim(part)], flush=True)
assert "torch" not in sys.modules
sys.stdin.read()
"""


class Claimer:
    """Another process that claims runs when its gate opens, and holds them until it is ended."""

    def __init__(self, study, gate, first=0, last=1000):
        arguments = [sys.executable, "-c", CLAIMER, str(study), str(gate), str(first), str(last)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def got(self):
        return self.process.stdout.readline().split()

    def end(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def claimers(tmp_path):
    """Starts claimers on one study, whose gate is open unless told otherwise, and ends them."""
    started = []

    def start(*runs, gate=None):
        (tmp_path / "open").touch()
        started.append(Claimer(tmp_path / "study", gate or tmp_path / "open", *runs))
        return started[-1]

    yield start
    for claimer in started:
        claimer.end()


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


def beating():
    """How many hearts beat, given the time to stop."""
    time.sleep(0.1)
    return sum(thread.name == "owner" for thread in threading.enumerate())


def test_claim_is_held_until_released(study):
    with RunLocks(study) as claims:
        assert claims.claim(["a", "b", "c", "a"]) == ["a", "b", "c"]
        assert claims.claim(["c", "a"]) == ["c", "a"]
        other = RunLocks(study)
        assert other.claim(["a", "d"]) == ["d"]
        assert all(alive(study, id) for id in "abcd")
        said = holder(study, "a")
        assert (said["pid"], said["note"]) == (os.getpid(), {})
        assert {"host", "boot", "started", "nonce", "since"} <= said.keys()
        claims.release("b")
        assert (holder(study, "b"), sorted(holders(study))) == (None, ["a", "c", "d"])
    assert files(study) == ["d.json"]
    other.release("d")
    assert files(study) == []


def test_unclaimed_study_has_no_holders(study):
    assert (holders(study), holder(study, "a"), alive(study, "a")) == ({}, None, False)
    with RunLocks(study / "new" / "deep") as claims:
        assert claims.claim([]) == []
        assert claims.claim(["a"]) == ["a"]
    assert not beating()


def test_claimed_runs_are_names_of_one_file(study):
    with RunLocks(study) as claims:
        assert claims.claim(IDS) == IDS
        assert len({os.stat(study / ".owners" / f"{id}.json").st_ino for id in IDS}) == 1


def test_heartbeat_touches_files_and_writes_notes(study):
    with RunLocks(study, beat_s=0.02) as claims:
        claims.claim(["a", "b", "c"])
        assert beating() == 1
        paths = {id: study / ".owners" / f"{id}.json" for id in "abc"}
        for path in paths.values():
            os.utime(path, (1, 1))
        claims.note(["a", "b"], epoch=1, epochs=3)
        claims.note("b", epoch=2)
        claims.note("unknown", epoch=2)
        deadline = time.time() + 30
        while any(path.stat().st_mtime == 1 for path in paths.values()) or not holder(study, "b")["note"]:
            assert time.time() < deadline
            time.sleep(0.01)
        notes = {id: said["note"] for id, said in holders(study).items()}
        assert notes == {"a": {"epoch": 1, "epochs": 3}, "b": {"epoch": 2, "epochs": 3}, "c": {}}
        claims.release(["a", "b", "c"])
        claims.claim(["a"])
        assert holder(study, "a")["note"] == {}
    assert files(study) == [".lock"]


def test_heartbeat_survives_a_full_disk(study, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with RunLocks(study, beat_s=0.01) as claims:
        claims.claim(["a"])
        with monkeypatch.context() as patch:
            patch.setattr(lock_file, "_create", full)
            claims.note("a", epoch=1)
            time.sleep(0.1)
            assert holder(study, "a")["note"] == {}
        deadline = time.time() + 30
        while holder(study, "a")["note"] != {"epoch": 1}:
            assert time.time() < deadline
            time.sleep(0.01)


def test_concurrent_claims_are_disjoint(study, claimers, tmp_path):
    for gate in ("of runs that no one has", "of the dead"):
        others = [claimers(gate=tmp_path / gate) for _ in range(3)]
        (tmp_path / gate).touch()
        got = [other.got() for other in others]
        assert sorted(id for one in got for id in one) == IDS
        assert {id: said["pid"] for id, said in holders(study).items()} == {
            id: other.process.pid for other, one in zip(others, got, strict=True) for id in one
        }
        for other in others:
            other.end()
        assert holders(study) == {}
    assert all(name.endswith(".json") or name == ".lock" for name in files(study))


def test_killed_process_is_dead_at_once_and_stopped_one_is_alive(study, claimers):
    other = claimers(0, 2)
    assert sorted(other.got()) == IDS[:2]
    with RunLocks(study) as claims:
        other.process.send_signal(signal.SIGSTOP)
        for id in IDS[:2]:
            os.utime(study / ".owners" / f"{id}.json", (1, 1))
        assert claims.claim(IDS[:3]) == IDS[2:3]
        other.process.kill()
        os.waitid(os.P_PID, other.process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not waited for: a zombie
        assert psutil.Process(other.process.pid).status() == psutil.STATUS_ZOMBIE
        assert not alive(study, IDS[0])
        assert claims.claim(IDS[:3]) == IDS[:3]
        assert {said["pid"] for said in holders(study).values()} == {os.getpid()}


def test_claims_taken_over_during_sleep_are_lost(study):
    with RunLocks(study) as claims:
        claims.claim(["a", "b"])
        rewrite(study, "a", nonce="another")
        (study / ".owners" / "b.json").unlink()
        claims.note(["a", "b"], epoch=1)
        claims._beat()
        assert holder(study, "a")["note"] == {}
        assert not alive(study, "b")
        assert claims.claim(["a", "b"]) == ["b"]
        rewrite(study, "b", nonce="another")
        claims._beaten -= 100  # as after a long sleep
    assert files(study) == [".lock", "a.json", "b.json"]


def test_failed_claim_is_one_line_and_leaves_no_files(study, monkeypatch):
    (study / "file").touch()
    with pytest.raises(HarnessError, match=r"cannot write .*file"):
        RunLocks(study / "file").claim(["a"])

    link = os.link

    def full(source, target):
        if target.name == "b.json":
            raise OSError(28, "No space left on device")
        link(source, target)

    def nothing_written(path, text):
        if path.name == "b.json":
            raise OSError(28, "No space left on device")
        return create(path, text)

    create = lock_file._create
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(lock_file, "_create", nothing_written)
    with RunLocks(study) as claims:
        with pytest.raises(HarnessError, match="No space left on device"):
            claims.claim(["a", "b", "c"])
        assert files(study) == []
    assert not beating()


def test_claims_are_unusable_in_another_process(study, monkeypatch):
    with RunLocks(study) as claims:
        claims.claim(["a"])
        with pytest.raises(TypeError, match="cannot be sent"):
            pickle.dumps(claims)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)  # as in a forked child
            claims.note("a", epoch=1)
            claims.release("a")
            claims.__exit__()
            with pytest.raises(RuntimeError, match="child"):
                claims.claim(["b"])
        claims._beat()
        assert holder(study, "a")["note"] == {}


def test_removed_study_is_not_recreated(study):
    with RunLocks(study) as claims:
        claims.claim(["a"])
        (study / ".owners" / "a.json").unlink()
        (study / ".owners").rmdir()
        claims._beaten -= 100
    assert list(study.iterdir()) == []


def test_tidy_removes_files_of_dead_processes(tmp_path):
    with RunLocks(tmp_path) as claims:
        claims.claim(["alive", "dead"])
        rewrite(tmp_path, "dead", pid=2**22 + 1)
        for name, age in (("old.new", 3600), ("young.new", 0)):
            path = tmp_path / ".owners" / f".{name}"
            path.touch()
            os.utime(path, (time.time() - age, time.time() - age))
        tidy(tmp_path)
        assert [name for name in files(tmp_path) if name != ".lock"] == [".young.new", "alive.json"]
    tidy(tmp_path / "none")


NOBODY = 65534


@pytest.fixture
def lesson():
    """The study of a first user, made under the usual umask, in a folder that everyone may look into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        before = os.umask(0o022)
        try:
            study = Path(folder) / "lesson"
            with RunLocks(study) as claims:
                claims.claim(["a"])
            yield study
        finally:
            os.umask(before)


def as_nobody(study):
    """What a user with the group of the study is told who claims a run of it; "" where the run is theirs."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        child = os.fork()
    if not child:
        os.setgroups([])
        os.setgid(os.stat(study).st_gid)
        os.setuid(NOBODY)
        try:
            with RunLocks(study) as claims:
                text = "" if claims.claim(["b"]) == ["b"] else "refused"
        except BaseException as error:
            text = str(error)
        os.write(theirs, text.encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with os.fdopen(ours) as pipe:
        return pipe.read()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")
def test_second_user_gets_the_owner_of_a_study_and_a_command_to_share_it(lesson):
    text = as_nobody(lesson)
    assert text.startswith(f"cannot write {lesson}: Permission denied. {lesson} belongs to {lesson.owner()}: ")
    command = re.search(r"chmod -R \S+ [^\s,]+", text)
    subprocess.run(command[0].split(), check=True)
    assert as_nobody(lesson) == ""
    with RunLocks(lesson) as claims:
        assert claims.claim(["a"]) == ["a"]  # and the first user goes on
