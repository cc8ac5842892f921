"""The job: the result of composition, and the input of preparation."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from harness.config.settings import Settings, typed_settings


@dataclass(frozen=True)
class Job:
    """The checked config of one run as plain data, in which `auto` is not yet replaced."""

    values: dict[str, Any]
    overrides: list[str]
    hydra: str = field(default="", repr=False)  # text of .hydra/hydra.yaml

    @functools.cached_property
    def settings(self) -> Settings:
        return typed_settings(self.values)
