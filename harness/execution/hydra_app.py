"""Start a sweep through Hydra, and train the jobs that Hydra's own launchers pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from harness._compat.hydra import no_callbacks
from harness.config.composition import compose_unchecked, hydra_session, job_from_hydra, with_config_dir
from harness.config.job import command_line
from harness.config.override_text import as_typed, written
from harness.config.overrides import parse, take_added, take_zip
from harness.config.quoting import quoted
from harness.execution.sweep.swept import current_command, launched_by
from harness.registry import hydra_keys
from harness.system.errors import HarnessError


def multirun(
    overrides: Sequence[str], config_dir: str | None = None, variants: Sequence[Sequence[str]] | None = None
) -> None:
    """Run a sweep with the sweeper and the launcher that the config names. An exception of a job is raised again.

    Args:
        overrides: Hydra overrides; values with commas are swept, `zip=[a,b]` lets keys vary together, and
            `optimizer+=mine` adds a value to those that a file declares.
        config_dir: A folder with presets and experiments, as `--config-dir`.
        variants: Lists of overrides, each combined with the whole grid; None for those that a file declares.

    Raises:
        HarnessError: If the overrides are no sweep that harness can run.
    """
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext

    from harness.execution.sweep.hydra_sweep import HarnessSweeper

    words = list(overrides)
    if variants is not None:  # as the command line passes them
        listed = [list(variant) if isinstance(variant, tuple) else variant for variant in variants]
        words.append(f"hydra.sweeper.variants={written(listed)}")
    command = command_line(words, config_dir, sweep=True)
    overrides, added = take_added(overrides)
    overrides, zips = take_zip(quoted(overrides, sweep=True))
    hydra_keys.check_words(parse(overrides, sweep=True), sweep=True)
    with hydra_session() as hydra:
        config = compose_unchecked(hydra, with_config_dir(overrides, config_dir), RunMode.MULTIRUN)
        hydra_keys.check_node(config)
        if config.hydra.mode == RunMode.RUN:
            raise HarnessError("hydra.mode=RUN says that this is one run: take it out, or -m")
        config.hydra.mode = RunMode.MULTIRUN
        context = HydraContext(config_loader=hydra.config_loader, callbacks=no_callbacks())
        sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=task)
        task_words: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        if isinstance(sweeper, HarnessSweeper):
            sweeper.zip = sweeper.zip if zips is None else zips
            sweeper.variants = sweeper.variants if variants is None else variants
            sweeper.added = quoted(added, sweep=True)
        else:  # other sweepers change the texts
            if word := "zip=" if zips else "variants=" if variants else "+=" if added else "":
                chosen = config.hydra.runtime.choices["hydra/sweeper"]
                raise HarnessError(f"{word} needs harness's own sweeper: leave out hydra/sweeper={chosen}")
            task_words = as_typed(parse(task_words, sweep=True), config)
        with launched_by(command):
            _reraise(sweeper.sweep(arguments=task_words))


def _reraise(returned: Any) -> None:
    """Raise the exception that a launcher of Hydra's has put into its return value."""
    from hydra.core.utils import JobReturn

    if isinstance(returned, JobReturn):
        _ = returned.return_value
    elif isinstance(returned, (list, tuple)):
        for item in returned:
            _reraise(item)


def task(config: DictConfig) -> float:
    """Train one job of a launcher that is not harness's, and return the run's objective."""
    from hydra.core.hydra_config import HydraConfig

    from harness.execution.sweep.callbacks import active
    from harness.execution.sweep.objective import for_search
    from harness.execution.train import train

    hydra = HydraConfig.get()
    full = config.copy()
    OmegaConf.set_struct(full, False)
    full.hydra = hydra
    job = job_from_hydra(full, list(hydra.overrides.task))
    if job.settings.tune.budget is not None:
        chosen = hydra.runtime.choices["hydra/launcher"]
        raise HarnessError(f"tune.budget needs harness's own launcher: leave out hydra/launcher={chosen}")
    record = train(replace(job, command=current_command()))
    active().on_run_end(hydra.job.num, None, record)
    return for_search(record)
