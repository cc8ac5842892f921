"""Hydra's doors to harness's own sweep, under the names that a config chooses them by.

No `from __future__ import annotations` here: Hydra 1.3 executes plugin modules before they stand in sys.modules, and a
dataclass then fails for every Hydra app.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

import harness


class HarnessSweeper(harness.HarnessSweeper):
    """The sweeper of harness; Hydra wants its class to stand here."""


class HarnessLauncher(harness.HarnessLauncher):
    """The launcher of harness; Hydra wants its class to stand here."""


@dataclass
class SweeperConf:
    _target_: str = "hydra_plugins.harness_hydra.sweep.HarnessSweeper"
    _recursive_: bool = False  # params are words
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class LauncherConf:
    _target_: str = "hydra_plugins.harness_hydra.sweep.HarnessLauncher"


ConfigStore.instance().store(group="hydra/sweeper", name="harness", node=SweeperConf, provider="harness")
ConfigStore.instance().store(group="hydra/launcher", name="harness", node=LauncherConf, provider="harness")
