"""Dask clusters: local processes, or a running cluster."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

import psutil

from harness import HarnessError, one_line
from harness import workers as shared
from harness_components.executors.base import Threaded

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

RESTART_S = 60.0


class Dask(Threaded):
    """An executor over a client, and over the cluster if it is local."""

    def __init__(self, client: Client, cluster: SpecCluster | None, workers: int) -> None:
        super().__init__(workers)
        self._client, self._cluster, self._workers = client, cluster, workers
        self._closing, self._killed = threading.Lock(), False

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks; close the client and the local cluster once the submitted ones have ended."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        closer = threading.Thread(target=self._close, name="dask-close")
        closer.start()
        if wait:
            closer.join()

    def kill(self) -> None:
        """Cancel tasks that are not started, and kill local workers; those of a remote cluster finish their tasks."""
        self._killed = True
        super().shutdown(wait=False, cancel_futures=True)
        for nanny in list(self._cluster.workers.values()) if self._cluster is not None else ():
            nanny.auto_restart = False
            if nanny.pid is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(nanny.pid).kill()
        self._client.close()  # fails the futures that are waited for

    def _run(self, task: bytes) -> Any:
        future = self._client.submit(shared.perform, task, pure=False)
        try:
            return future.result()
        except Exception as error:
            if self._cluster is not None and shared.died(error) and not self._killed:
                # else the next task would queue on a live worker, and be lost if that dies
                with contextlib.suppress(Exception):
                    self._client.wait_for_workers(self._workers, timeout=RESTART_S)
            raise

    def _close(self) -> None:
        self._threads.shutdown(wait=True)
        with self._closing:
            self._client.close()
            if self._cluster is not None:
                self._cluster.close()


def connect(address: str, workers: int) -> Dask:
    """Return an executor over the cluster of a running scheduler.

    Raises:
        HarnessError: If none answers.
    """
    from distributed import Client

    try:
        client = Client(address, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise HarnessError(f"executor.address={address}: no dask scheduler answers: {one_line(error)}") from error
    return Dask(client, None, workers)


def local(environments: list[dict[str, str]]) -> Dask:
    """Return an executor over a cluster of local processes, one for each environment."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    # report a worker's death at once: the launcher decides on retries
    scheduler = {"allowed_failures": 0, "host": "127.0.0.1", "dashboard": False, "dashboard_address": None}
    worker = {"nthreads": 1, "host": "127.0.0.1", "memory_limit": 0, "dashboard": False, "dashboard_address": None}
    workers = {
        i: {"cls": Nanny, "options": {**worker, "env": environment, "silence_logs": logging.CRITICAL}}
        for i, environment in enumerate(environments)
    }
    # closing connections are logged after silence_logs has ended
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    with shared.no_interrupts(), shared.safe_path():
        cluster = SpecCluster(
            workers, {"cls": Scheduler, "options": scheduler}, silence_logs=logging.CRITICAL, name="harness"
        )
    return Dask(Client(cluster, set_as_default=False), cluster, len(environments))
