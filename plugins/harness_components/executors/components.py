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
    Literal["auto", "cpu", "gpu"], "gpu: one GPU for each worker, at most as many workers; auto: gpu if there are GPUs"
]


class InProcess(Executor):
    """Run each call at once in the caller's process; Ctrl-C reaches the caller."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call; return its future, which is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@harness.executor
def in_process(jobs: int) -> Executor:
    """Train one run after another in this process.

    Choose it to debug, and for sweeps too short to pay for workers.
    """
    return InProcess()


@harness.executor
def loky(jobs: int, *, accelerator: Accelerator = "auto") -> Executor:
    """Train in processes of this machine, each single-threaded or with its own GPU.

    The processes stay warm for the next sweep of the same launcher, and end with it. A killed process loses its own
    task alone.
    """
    from harness_components.executors.loky_pool import Loky

    return Loky(workers.environments(jobs, accelerator))


@harness.executor(task_minutes="timeout_min", task_start="start_s")
def submitit(
    jobs: int,
    *,
    cluster: Annotated[
        Literal["auto", "slurm", "local"], "auto: slurm if available; local: processes of this machine"
    ] = "auto",
    folder: Annotated[str, "folder for tasks, results and logs, on a file system that all nodes share"] = (
        "outputs/.submitit"
    ),
    timeout_min: Annotated[
        int, Ge(1), "time limit of a job in minutes; runs are packed to fill at most half of it"
    ] = 240,
    start_s: Annotated[
        float,
        Ge(0),
        "seconds until a job trains; no job is started for less training than that, and 0 always fills `jobs`",
    ] = 30.0,
    cpus_per_task: Annotated[int, Ge(1), "cores, and threads, of a job"] = 1,
    gpus_per_node: Annotated[int, Ge(0), "GPUs of a job"] = 0,
    mem_gb: Annotated[float, Ge(0), "memory of a job in GB; 0: the cluster's default"] = 0.0,
    partition: Annotated[str, "SLURM partition; empty: the cluster's default"] = "",
    account: Annotated[str, "SLURM account; empty: the cluster's default"] = "",
) -> Executor:
    """Train in jobs of a SLURM cluster, at most `jobs` at once.

    The runs of a sweep are packed into `jobs` jobs: into fewer if these would train for less than `start_s` seconds
    each, and into more if they would take longer than half of `timeout_min`.
    If a job ends early, as at its time limit, the run in training and those not started are submitted again. Jobs
    continue when the launcher is killed, and the next launcher collects their results; Ctrl-C cancels them.
    """
    if find_spec("submitit") is None:
        raise HarnessError("executor submitit needs the package submitit: pip install 'dl-harness[slurm]'")
    from submitit import AutoExecutor

    from harness_components.executors.submitit_slurm import Submitit, own_folder

    chosen = AutoExecutor.which() if cluster == "auto" else cluster
    local = chosen == "local"
    if local and gpus_per_node:
        raise HarnessError("executor.gpus_per_node: local jobs would share the GPUs; use executor=loky")
    variables = dict.fromkeys(workers.SINGLE_THREADED, str(cpus_per_task)) | workers.SAFE_PATH
    python = {f"{chosen}_python": shlex.join(["env", *(f"{k}={v}" for k, v in variables.items()), sys.executable])}
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
    address: Annotated[str, "address of a running scheduler, tcp://host:8786; empty: start local workers"] = "",
    accelerator: Accelerator = "auto",
) -> Executor:
    """Train on workers of a dask cluster, at most `jobs` tasks at once.

    On your own cluster, its scheduler decides how often a task is retried after its worker was lost
    (`allowed-failures`), and the start of the workers which GPU each gets.
    """
    if find_spec("distributed") is None:
        raise HarnessError("executor dask needs the package distributed: pip install 'dl-harness[dask]'")
    from harness_components.executors.dask_cluster import connect, local

    return connect(address, jobs) if address else local(workers.environments(jobs, accelerator))
