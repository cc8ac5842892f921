"""Executors: where the runs of a sweep are trained."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from annotated_types import Ge

import harness
from harness import HarnessError, workers

Accelerator = Annotated[
    Literal["auto", "cpu", "gpu"], "gpu: one GPU a worker, and no more workers than GPUs; auto: where there are GPUs"
]


class InProcess(Executor):
    """Runs each call at once, in the caller's process; Ctrl-C is the caller's."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@harness.executor
def in_process(jobs: int) -> Executor:
    """One run after another, in this process."""
    return InProcess()


@harness.executor
def loky(jobs: int, *, accelerator: Accelerator = "auto") -> Executor:
    """Processes of this machine, each single-threaded or with a GPU of its own.

    The next sweep of the same process finds them warm. One that is killed loses its own task alone, and they all end
    with the process that started them.
    """
    from harness_components.executors.loky_pool import Loky

    return Loky(workers.environments(jobs, accelerator))


@harness.executor(task_minutes="timeout_min")
def submitit(
    jobs: int,
    *,
    cluster: Annotated[
        Literal["auto", "slurm", "local"], "auto: slurm where there is one; local: processes of this machine"
    ] = "auto",
    folder: Annotated[str, "for what is sent, returned and logged; every node must see it"] = "outputs/.submitit",
    timeout_min: Annotated[int, Ge(1), "minutes that a job may take; runs are packed to fill at most half of it"] = 240,
    cpus_per_task: Annotated[int, Ge(1), "cores of a job, and its threads"] = 1,
    gpus_per_node: Annotated[int, Ge(0), "GPUs of a job"] = 0,
    mem_gb: Annotated[float, Ge(0), "memory of a job in GB; 0: the cluster's own default"] = 0.0,
    partition: Annotated[str, "empty: the cluster's own default"] = "",
    account: Annotated[str, "empty: the cluster's own default"] = "",
) -> Executor:
    """Jobs of a SLURM cluster, at most `jobs` at once. A sweep's runs are packed into `jobs` jobs.

    They are more where they would not end in half of `timeout_min`. A job that ends early, as at its time limit, loses
    the run that it was training: that and those not begun are submitted again. A job goes on when its launcher is
    killed, and the next launcher finds what it did; Ctrl-C cancels the jobs.
    """
    if find_spec("submitit") is None:
        raise HarnessError("executor submitit wants the extra: pip install 'harness[slurm]'")
    from submitit import AutoExecutor

    from harness_components.executors.submitit_slurm import Submitit, own_folder

    chosen = AutoExecutor.which() if cluster == "auto" else cluster
    local = chosen == "local"
    if local and gpus_per_node:
        raise HarnessError("executor.gpus_per_node: local jobs would share the GPUs; use executor=loky")
    set_there = dict.fromkeys(workers.SINGLE_THREADED, str(cpus_per_task)) | workers.SAFE_PATH
    python = {f"{chosen}_python": shlex.join(["env", *(f"{k}={v}" for k, v in set_there.items()), sys.executable])}
    try:
        executor = AutoExecutor(own_folder(folder), chosen, **python)
    except (OSError, RuntimeError) as error:
        raise HarnessError(f"executor submitit: {error}") from error
    executor.update_parameters(
        name="harness",
        timeout_min=timeout_min,
        cpus_per_task=cpus_per_task,
        gpus_per_node=gpus_per_node or None,
        mem_gb=mem_gb or None,
        slurm_partition=partition or None,
        slurm_account=account or None,
    )
    return Submitit(executor, jobs, local)


@harness.executor(
    reference="Rocklin, Dask: Parallel computation with blocked algorithms and task scheduling, SciPy 2015, "
    "doi:10.25080/Majora-7b98e3ed-013"
)
def dask(
    jobs: int,
    *,
    address: Annotated[str, "of a running scheduler, as tcp://host:8786; empty: a cluster of this machine"] = "",
    accelerator: Accelerator = "auto",
) -> Executor:
    """Workers of a dask cluster, at most `jobs` tasks at once.

    On a cluster of yours a task whose worker is lost is tried again as its scheduler is configured
    (`allowed-failures`), and who gets which GPU is settled by how its workers were started.
    """
    if find_spec("distributed") is None:
        raise HarnessError("executor dask wants the extra: pip install 'harness[dask]'")
    from harness_components.executors.dask_cluster import connect, local

    return connect(address, jobs) if address else local(workers.environments(jobs, accelerator))
