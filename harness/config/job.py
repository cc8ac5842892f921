"""A job: what composing hands to preparing."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from harness.config.settings import Settings, parse


@dataclass(frozen=True)
class Job:
    """One run to do: checked, plain, and not yet resolved (`auto` stands where data must be seen first)."""

    values: dict[str, Any]
    overrides: list[str]
    hydra: str = field(default="", repr=False)  # the text of .hydra/hydra.yaml (folder.py)

    @functools.cached_property
    def settings(self) -> Settings:
        return parse(self.values)
