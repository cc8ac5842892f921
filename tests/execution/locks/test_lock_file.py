import os
import time

import pytest

from harness.execution.locks import lock_file
from harness.execution.locks.run_lock import RunLocks, alive, holder
from tests.execution.locks.owners import files, rewrite


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.mark.parametrize(
    ("changes", "age", "lives"),
    [
        ({}, 1e6, True),
        ({"started": 1.0}, 0, False),  # the number of a process that has ended was given to another one
        ({"pid": 2**31 - 1}, 0, False),
        ({"boot": "another"}, 0, False),
        ({"host": "another", "pid": 1}, 55, True),
        ({"host": "another", "pid": 1}, 65, False),
        ({"machine": "another of the same name", "boot": "another"}, 0, True),
        ({"namespace": "of another container", "pid": 2**31 - 1}, 0, True),
        ({"namespace": "of another container", "pid": 2**31 - 1}, 65, False),
    ],
)
def test_owner_is_alive_by_process_host_and_heartbeat(study, changes, age, lives):
    with RunLocks(study) as mine:
        mine.claim(["a"])
        rewrite(study, "a", age, **changes)
        assert alive(study, "a") is lives
        with RunLocks(study) as other:
            assert other.claim(["a"]) == ([] if lives else ["a"])
            assert bool(mine.claim(["a"])) == (lives and holder(study, "a")["nonce"] == mine._nonce)


@pytest.mark.parametrize("text", ["", '{"host": "h', "[]", "{}"])
def test_torn_owner_file_is_dead_once_old(study, text):
    (study / ".owners").mkdir()
    path = study / ".owners" / "a.json"
    path.write_text(text)
    with RunLocks(study) as claims:
        assert claims.claim(["a"]) == []
        os.utime(path, (time.time() - 61, time.time() - 61))
        assert not alive(study, "a")
        assert claims.claim(["a"]) == ["a"]


def test_heartbeat_age_uses_the_file_system_clock(study, monkeypatch):
    with RunLocks(study) as claims:
        claims.claim(["a"])
        rewrite(study, "a", host="another")
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert alive(study, "a")
        assert lock_file._clock(study / "gone") == 0.0  # where it cannot be asked


def test_owner_files_are_written_in_place_without_hard_links(study, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with RunLocks(study) as claims:
        assert claims.claim(["a", "b"]) == ["a", "b"]
        rewrite(study, "b", boot="another")
        with RunLocks(study) as other:
            assert other.claim(["a", "b"]) == ["b"]
        claims.note("a", epoch=1)
        claims._beat()
        assert holder(study, "a")["note"] == {"epoch": 1}
    assert files(study) == [".lock"]
