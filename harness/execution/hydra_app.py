"""The functions that Hydra calls: one run, or a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from harness._compat.hydra import no_callbacks
from harness.config.composition import compose_unchecked, hydra_session, job_from_hydra, with_config_dir
from harness.config.override_text import as_typed
from harness.config.overrides import parse
from harness.config.quoting import quoted
from harness.registry import hydra_keys
from harness.system.errors import HarnessError


def multirun(overrides: Sequence[str], config_dir: str | None = None) -> None:
    """A sweep, by whichever sweeper and launcher the config names. Raises what a job raised."""
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext

    overrides = quoted(overrides, sweep=True)
    hydra_keys.check_words(parse(overrides, sweep=True), sweep=True)
    with hydra_session() as hydra:
        config = compose_unchecked(hydra, with_config_dir(overrides, config_dir), RunMode.MULTIRUN)
        hydra_keys.check_node(config)
        if config.hydra.mode == RunMode.RUN:
            raise HarnessError("hydra.mode=RUN says that this is one run: take it out, or -m")
        config.hydra.mode = RunMode.MULTIRUN
        context = HydraContext(config_loader=hydra.config_loader, callbacks=no_callbacks())
        sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=task)
        words: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        if config.hydra.runtime.choices["hydra/sweeper"] != "harness":  # it would hand on what Hydra has made of them
            words = as_typed(parse(words, sweep=True), config)
        _reraise(sweeper.sweep(arguments=words))


def _reraise(returned: Any) -> None:
    """Hydra's own launchers keep a job's exception in what they return, where no one would see it."""
    from hydra.core.utils import JobReturn

    if isinstance(returned, JobReturn):
        _ = returned.return_value
    elif isinstance(returned, (list, tuple)):
        for one in returned:
            _reraise(one)


def task(config: DictConfig) -> float:
    """One job under a launcher that is not ours: the run's objective."""
    from hydra.core.hydra_config import HydraConfig

    from harness.execution.sweep.events import tell
    from harness.execution.sweep.objective import for_search
    from harness.execution.train import train

    hydra = HydraConfig.get()
    full = config.copy()
    OmegaConf.set_struct(full, False)
    full.hydra = hydra
    record = train(job_from_hydra(full, list(hydra.overrides.task)))
    tell(hydra.job.num, None, record)
    return for_search(record)
