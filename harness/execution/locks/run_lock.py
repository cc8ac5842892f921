"""Lock the runs of a study, so that several launchers can share it and runs of a dead process are noticed.

`<study>/.owners/<run id>.json` names the process that trains a run; it exists while that process holds the run, and its
time of change is a heartbeat. A file is created whole and exclusively. Only what is judged dead is taken over, by one
process at a time. Nothing here imports torch.

One lock of `filelock` for each run would be less code, and is not enough. A lease has a thread and an open file for
each run (1,000 runs: 3.9 s to take and release, here 0.08 s), and a process that is stopped loses it while it lives. A
native lock (0.9 s) is shared with forked children, and tells nobody who holds it or how far the run is.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from harness.execution.locks.lock_file import STALE_S, LivenessCheck, LockText, folder_of, glance
from harness.system.errors import CannotWrite, HarnessError
from harness.system.process_id import here, started, uptime

LOCK_S = 60.0  # limit for taking the folder's lock, which is held for milliseconds


def alive(study: Path, id: str) -> bool:
    """Return True if a living process, this one or another, holds a run."""
    return holder(study, id) is not None


def holder(study: Path, id: str) -> dict[str, Any] | None:
    """Return the owner of a run with its `note`, or None if no living process holds it."""
    folder = folder_of(study)
    return LivenessCheck(folder).living(folder / f"{id}.json")


def holders(study: Path) -> dict[str, dict[str, Any]]:
    """Return the owners of all runs of a study that living processes hold, by run ID, each with its `note`."""
    folder = folder_of(study)
    judge = LivenessCheck(folder)
    found = {path.stem: judge.living_by_inode(path, inode) for path, inode in glance(folder)}
    return {id: owner for id, owner in found.items() if owner is not None}


def tidy(study: Path) -> None:
    """Removes what dead processes have left: owner files of runs that no one has taken over, since they are complete,
    and files that were never put in place.
    """
    with contextlib.suppress(OSError, HarnessError):
        folder = folder_of(study)
        if not os.listdir(folder):
            return
        with _lock(folder):
            judge = LivenessCheck(folder)
            for path, inode in list(glance(folder)):
                if judge.living_by_inode(path, inode) is None:
                    path.unlink(missing_ok=True)
            for path in judge.forgotten():
                path.unlink(missing_ok=True)


class RunLocks:
    """The runs of a study that this process trains: made, used and left (`with`) in that process alone.

    `beat_s` is the time between two heartbeats in seconds; a process of another host that has not been heard of for
    60 s is taken for dead. A forked child holds nothing, and leaving or releasing there does nothing.
    """

    def __init__(self, study: Path, beat_s: float = 5.0) -> None:
        self.folder, self.beat_s = folder_of(study), beat_s
        self._pid, self._nonce = os.getpid(), secrets.token_hex(8)
        self._held: dict[str, dict[str, Any]] = {}  # content of the file of each run, after the next heartbeat
        self._noted: set[str] = set()  # runs whose note is not written yet
        self._mutex = threading.Lock()  # for the two fields above
        self._disk = threading.RLock()  # for writing files; taken before the mutex
        self._stop: threading.Event | None = None  # of the heartbeat
        self._beaten = 0.0  # uptime at the last heartbeat that touched every file

    def __enter__(self) -> RunLocks:
        return self

    def __exit__(self, *_: object) -> None:
        self.release(list(self._held))

    def __reduce__(self) -> NoReturn:
        raise TypeError("claims belong to the process that made them, and cannot be sent to another")

    def claim(self, ids: Iterable[str]) -> list[str]:
        """Lock runs, and return those that this process holds now, in their order. Living processes hold the others.

        A run that we hold already is ours, unless it was taken for dead meanwhile. Raises HarnessError where owner
        files cannot be written.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("claims belong to the process that made them; a child makes its own")
        wanted = list(dict.fromkeys(ids))
        owner = {**here(), "pid": self._pid, "started": started(self._pid)}
        owner |= {"nonce": self._nonce, "since": time.time(), "note": {}}
        with self._disk, _told_in_a_line(self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            with LockText(self.folder, owner) as sheet:
                now = uptime()
                try:
                    taken = self._take(wanted, sheet)
                except BaseException:  # all or none: a forgotten lock would be held until this process ends
                    self._remove(self._ours(id for id in wanted if id not in self._held))
                    raise
            with self._mutex:
                for id in wanted:
                    if id not in taken:
                        self._held.pop(id, None)  # another process took this one for dead
                    elif id not in self._held:
                        self._held[id] = owner
                if self._held and self._stop is None:
                    self._beaten, self._stop = now, threading.Event()
                    threading.Thread(target=self._beats, args=(self._stop,), name="owner", daemon=True).start()
        return [id for id in wanted if id in taken]

    def note(self, id_or_ids: str | Iterable[str], **what: Any) -> None:
        """Add plain data to the notes of held runs. It is written at the next heartbeat."""
        if os.getpid() != self._pid:
            return
        with self._mutex:
            for id in [id_or_ids] if isinstance(id_or_ids, str) else id_or_ids:
                if id in self._held:
                    owner = self._held[id]
                    self._held[id] = owner | {"note": owner["note"] | what}
                    self._noted.add(id)

    def release(self, id_or_ids: str | Iterable[str]) -> None:
        """Release runs. A file that cannot be removed becomes invalid when this process ends."""
        if os.getpid() != self._pid:
            return
        with self._disk:
            with self._mutex:
                ids = [id_or_ids] if isinstance(id_or_ids, str) else list(id_or_ids)
                ids = [id for id in ids if self._held.pop(id, None) is not None]
                self._noted.difference_update(ids)
                if self._stop is not None and not self._held:
                    self._stop.set()
                    self._stop = None
            with contextlib.suppress(OSError, HarnessError):
                if uptime() - self._beaten < STALE_S / 2:  # no process can have taken this one for dead
                    self._remove(ids)
                elif ids and self.folder.is_dir():
                    with _lock(self.folder):
                        self._remove(self._ours(ids))

    def _take(self, ids: list[str], sheet: LockText) -> set[str]:
        taken, dead = set(), []
        judge = LivenessCheck(self.folder)
        for id in ids:
            path = self._path(id)
            if sheet.put(path):
                taken.add(id)
            elif (owner := judge.living(path)) is None:
                dead.append(id)
            elif owner.get("nonce") == self._nonce:
                taken.add(id)
        if dead:
            with _lock(self.folder):
                judge = LivenessCheck(self.folder)  # the state before the lock may have changed
                for id in dead:
                    path = self._path(id)
                    if sheet.put(path) or (judge.living(path) is None and sheet.replace(path)):
                        taken.add(id)
        return taken

    def _remove(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._path(id).unlink(missing_ok=True)

    def _beats(self, stop: threading.Event) -> None:
        while not stop.wait(self.beat_s):
            # the disk is full or a file server is away: the next heartbeat tries again
            with contextlib.suppress(OSError, HarnessError):
                self._beat()

    def _beat(self) -> None:
        with self._disk, contextlib.ExitStack() as stack:
            now = uptime()
            with self._mutex:
                held, noted = dict(self._held), set(self._noted)
            if noted:
                stack.enter_context(_lock(self.folder))
            ours = self._ours(held)
            self._write({id: held[id] for id in ours if id in noted})
            for path in {inode: path for path, inode in self._inodes(ours)}.values():
                os.utime(path)
            with self._mutex:
                self._beaten = now
                for id in held.keys() - ours:  # lost while this machine slept, or removed by hand
                    self._held.pop(id, None)
                self._noted -= {id for id in noted if self._held.get(id) is held[id] or id not in self._held}

    def _ours(self, ids: Iterable[str]) -> set[str]:
        """Return the runs whose file still names this process."""
        judge = LivenessCheck(self.folder)
        found = ((path.stem, judge.living_by_inode(path, inode)) for path, inode in self._inodes(ids))
        return {id for id, owner in found if owner is not None and owner.get("nonce") == self._nonce}

    def _inodes(self, ids: Iterable[str]) -> Iterator[tuple[Path, int]]:
        for path in map(self._path, ids):
            with contextlib.suppress(FileNotFoundError):
                yield path, os.stat(path).st_ino

    def _write(self, owners: dict[str, dict[str, Any]]) -> None:
        """Write the changed notes; runs with equal content share a file."""
        alike: dict[str, list[str]] = {}
        for id, owner in owners.items():
            alike.setdefault(json.dumps(owner, default=str), []).append(id)
        for ids in alike.values():
            with LockText(self.folder, owners[ids[0]]) as sheet:
                for id in ids:
                    sheet.replace(self._path(id))

    def _path(self, id: str) -> Path:
        return self.folder / f"{id}.json"


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", timeout=LOCK_S, poll_interval=0.005):
            yield
    except Timeout as error:
        raise HarnessError(f"{folder / '.lock'} has been held for {LOCK_S:g} s: end who holds it") from error


@contextlib.contextmanager
def _told_in_a_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite.from_os_error(folder, error) from error
