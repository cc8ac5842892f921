"""Hydra's sweeper and launcher for harness, which pass the jobs of a sweep to the scheduler.

Every Hydra app in the environment loads this module, so the rest of harness is imported when a sweep of harness begins.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hydra.core.object_type import ObjectType
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from harness.config.job import Job
    from harness.results.record import Record


class HarnessSweeper(Sweeper):
    """Hydra's sweeper: the grid of all comma-separated values. All jobs are checked before files are written.

    Attributes:
        params: Swept values that a file declares, `{"seed": "0,1,2"}`. Those of the command line replace them.
        zip: Keys that vary together, `["seed", "split.seed"]`, or a list of such groups.
        variants: Lists of overrides, each combined with the whole grid.
        added: Values of the command line that follow those of a swept key, `["optimizer=mine"]`.
    """

    def __init__(self, **declared: Any) -> None:
        self.added: list[str] = []
        self.launcher: Launcher | None = None
        self.context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Read what the sweep's files declare, and create the launcher."""
        from hydra.core.plugins import Plugins

        self.context, self.config = hydra_context, config
        # not from the constructor's arguments: in those, Hydra has resolved ${seed}, which differs between jobs
        declared: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
        self.params, self.zip, self.variants = declared["params"], declared["zip"], declared["variants"]
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the overrides to jobs and launch them."""
        from harness.config.declared_sweep import sweep_overrides
        from harness.config.override_text import as_typed
        from harness.config.overrides import expand, parse, zip_groups

        assert self.launcher is not None
        assert self.context is not None
        assert self.config is not None
        overrides = sweep_overrides(self.params, arguments, self.config)
        jobs = expand(overrides, self._options, zip_groups(self.zip), self.variants, self.added)
        if self.config.hydra.runtime.choices["hydra/launcher"] != "harness":  # another launcher composes them by itself
            jobs = [as_typed(parse(job), self.config) for job in jobs]
        return self.launcher.launch(jobs, initial_job_idx=0)

    def _options(self, group: str) -> list[str]:
        assert self.context is not None
        assert self.config is not None
        hydra = self.config.hydra
        words: Any = OmegaConf.to_container(hydra.overrides.hydra, resolve=False)
        return self.context.config_loader.get_group_options(group, ObjectType.CONFIG, hydra.job.config_name, words)


class HarnessLauncher(Launcher):
    """Hydra's launcher: composes all jobs, then trains them together."""

    def __init__(self) -> None:
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep Hydra's context and config."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the jobs and return their objectives."""
        from harness.config.composition_cache import Compositions
        from harness.config.declared_sweep import refuse_another
        from harness.config.overrides import quote_choices
        from harness.execution.sweep.callbacks import active, of_trials
        from harness.execution.sweep.swept import current_command, varied_keys
        from harness.execution.tuning.tune import is_tuned, tuned

        active().on_sweep_start(initial_job_idx + len(job_overrides))
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader

        def compose(overrides: list[str]) -> DictConfig:
            full = loader.load_sweep_config(self.config, quote_choices(overrides))
            refuse_another(full, self.config)
            return full

        compositions = Compositions(compose, sweep=self.config)
        swept, command = varied_keys(job_overrides), current_command()
        jobs = [replace(compositions.job(list(job)), swept=swept, command=command) for job in job_overrides]
        if is_tuned(jobs):

            def train(trials: Sequence[Job]) -> Sequence[Record]:
                with of_trials():
                    return _train(trials)

            jobs = tuned(jobs, compositions.job, train, active().on_tuning_start)
        records = _train(jobs, initial_job_idx)
        from harness.execution.sweep.objective import for_search

        returns = []
        for job, record in zip(jobs, records, strict=False):  # fail_fast may have ended the sweep early
            done = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
            done.return_value = for_search(record)
            returns.append(done)
        return returns


def _train(jobs: Sequence[Job], first: int = 0) -> list[Record]:
    """Return the records of jobs in their order; those that are not cached are trained."""
    from harness.datasets.description import check_data
    from harness.execution import known_runs
    from harness.system.garbage import uncollected

    records = _cached(jobs, first, question := known_runs.question(jobs, in_sweep=True))
    if records is None:
        for job in {str(job.values["data"]): job for job in jobs}.values():
            check_data(job.values)
        # imported late, since they import torch: a job with a mistake in it is refused before
        with uncollected():
            from harness.execution.sweep.scheduler import train_all

        records = train_all(jobs, first, question)
    return records


def _cached(jobs: Sequence[Job], first: int, question: str | None) -> list[Record] | None:
    """Return the records of a sweep of which all runs are cached, as the scheduler would; None if it must prepare."""
    from harness.execution import known_runs
    from harness.execution.sweep.callbacks import SweepPlan, active

    if "torch" in sys.modules:  # preparation takes no time, and components may have been registered in this process
        return None
    records = known_runs.recall(question, jobs)
    for place, record in enumerate(records or ()):
        active().on_run_end(first + place, first + len(jobs), record)
    if records is not None:
        active().on_sweep_planned(SweepPlan())
    return records
