"""Sweeper and launcher of harness, in the place where Hydra looks for plugins.

No `from __future__ import annotations` here: Hydra 1.3 executes plugin modules before they are in sys.modules, and a
dataclass then fails for every Hydra app.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

import harness


class HarnessSweeper(harness.HarnessSweeper):
    """The sweeper of harness; Hydra requires its class to be defined here."""


class HarnessLauncher(harness.HarnessLauncher):
    """The launcher of harness; Hydra requires its class to be defined here."""


@dataclass
class SweeperConf:
    _target_: str = "hydra_plugins.harness_hydra.sweep.HarnessSweeper"
    _recursive_: bool = False  # params are strings
    params: dict[str, Any] = field(default_factory=dict)
    zip: list[Any] = field(default_factory=list)
    variants: list[Any] = field(default_factory=list)


@dataclass
class LauncherConf:
    _target_: str = "hydra_plugins.harness_hydra.sweep.HarnessLauncher"


ConfigStore.instance().store(group="hydra/sweeper", name="harness", node=SweeperConf, provider="harness")
ConfigStore.instance().store(group="hydra/launcher", name="harness", node=LauncherConf, provider="harness")
