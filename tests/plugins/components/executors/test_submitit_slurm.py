import time
from concurrent.futures import wait

import pytest

from harness.execution.workers import died
from harness.system.errors import HarnessError
from harness_components.executors import submitit_slurm
from tests.plugins.components.executors.helpers import settings
from tests.plugins.components.helpers import make


def test_submitit_runs_jobs_in_order(tmp_path):
    with make("executor", "submitit", settings("submitit", tmp_path), jobs=1) as executor:
        futures = [executor.submit(time.monotonic_ns) for _ in range(3)]
        assert [future.result() for future in futures] == sorted(future.result() for future in futures)
        error = executor.submit(divmod, 1, 0).exception()
    assert "in the job" in error.__notes__[0]
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all("_log." in name for name in left), "no result that a later job of the same number could be given"


def test_time_limit_ends_a_job_that_catches_all_errors(tmp_path):
    """The task catches every error, as a run does."""
    task = "import signal\ntry: signal.raise_signal(signal.SIGUSR2)\nexcept BaseException: pass"
    with make("executor", "submitit", {**settings("submitit", tmp_path), "timeout_min": 1}, jobs=1) as executor:
        error = executor.submit(exec, task).exception()
    assert died(error)
    assert "ended without a result" in str(error)


def test_submitit_refuses_missing_gpus_and_slurm(tmp_path, monkeypatch):
    local = settings("submitit", tmp_path)
    with pytest.raises(HarnessError, match="use executor=loky"):
        make("executor", "submitit", {**local, "gpus_per_node": 1}, jobs=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match="srun"):
        make("executor", "submitit", {**local, "cluster": "slurm"}, jobs=1)


class Job:
    """A job of a cluster, with submitit's interface."""

    def __init__(self, folder):
        from submitit.core.utils import JobPaths

        self.job_id, self.state, self.paths = "1", "RUNNING", JobPaths(folder, "1")
        self.cancelled, self.value = False, None

    def done(self, force_check=False):
        return self.state != "RUNNING"

    def cancel(self, check=True):
        self.cancelled = True

    def result(self):
        return self.value, None


class Cluster:
    """A SLURM cluster with one job."""

    def __init__(self, folder):
        self.job = Job(folder)

    def submit(self, *_):
        if self.job is None:
            raise OSError("sbatch: error: no such partition")
        return self.job


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setattr(submitit_slurm, "LOOK_S", 0.01)
    monkeypatch.setattr(submitit_slurm, "ASK_S", 0.0)
    monkeypatch.setattr(submitit_slurm, "PATIENCE_S", 0.1)
    cluster = Cluster(tmp_path)
    return cluster, submitit_slurm.Submitit(cluster, 1, local=False)


def test_late_result_on_a_shared_folder_is_awaited(slurm, monkeypatch):
    monkeypatch.setattr(submitit_slurm, "PATIENCE_S", 60.0)
    cluster, executor = slurm
    with executor:
        future = executor.submit(pow, 2, 3)
        time.sleep(0.1)
        cluster.job.state, cluster.job.value = "COMPLETED", 8
        time.sleep(0.1)
        assert not future.done()
        cluster.job.paths.result_pickle.touch()
        assert future.result(10) == 8


def test_job_without_a_result_has_died(slurm):
    cluster, executor = slurm
    with executor:
        future = executor.submit(pow, 2, 3)
        cluster.job.state = "OUT_OF_MEMORY"
        error = future.exception(10)
        assert died(error)
        assert "OUT_OF_MEMORY" in str(error)


def test_job_is_cancelled_with_its_future(slurm):
    cluster, executor = slurm
    with executor:
        future, queued = executor.submit(pow, 2, 3), executor.submit(pow, 2, 3)
        while future not in executor._under_way:
            time.sleep(0.01)
        executor.shutdown(wait=False, cancel_futures=True)
        assert (future.cancelled(), queued.cancelled()) == (False, True)
        assert future.cancel()
        assert not wait([future, queued], timeout=10).not_done
    assert cluster.job.cancelled


def test_job_refused_by_the_cluster_is_a_failed_task(slurm):
    cluster, executor = slurm
    cluster.job = None
    with executor:
        assert "no such partition" in str(executor.submit(pow, 2, 3).exception(10))
