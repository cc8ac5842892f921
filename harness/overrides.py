"""What a person types behind `harness`: refused early where it says nothing sensible, expanded where it sweeps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from harness.errors import HarnessError
from harness.kinds import KINDS
from harness.settings import NOT_IDENTITY


def parse(overrides: Sequence[str]) -> list[Override]:
    """Hydra's overrides. Raises HarnessError for one that cannot be read, names Python, or stands twice."""
    parsed = []
    for text in overrides:
        try:
            parsed.append(OverridesParser.create().parse_override(text))
        except OverrideParseException as error:
            reason = str(error).splitlines()[0]
            hint = "" if "=" in text else " An override is KEY=VALUE."
            raise HarnessError(f"cannot read {text!r}: {reason}{hint}") from error
    seen: dict[str, str] = {}
    for override in parsed:
        key = override.get_key_element().lstrip("+~")
        if "_target_" in key.split("."):
            raise HarnessError(f"{key}: a config names components, it never names Python to import")
        if key in seen and not override.is_delete():
            raise HarnessError(f"{key} is given twice: {seen[key]} and {override.input_line}")
        seen[key] = override.input_line or ""
        single = key in KINDS and not KINDS[key].many
        if single and isinstance(override.value(), list) and not override.is_sweep_override():
            raise HarnessError(f"{key} takes one choice, got a list: {override.input_line}")
    return parsed


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The grid: one list of overrides a job, the last key fastest.

    >>> expand(["seed=0,1", "optimizer=sgd"])
    [['seed=0', 'optimizer=sgd'], ['seed=1', 'optimizer=sgd']]
    """
    axes = []
    for override in parse(overrides):
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise HarnessError(f"{override.input_line}: a grid sweeps over lists of values: {key}=a,b,c")
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            axes.append([override.input_line or ""])
    return [list(job) for job in itertools.product(*axes)]


def readable(overrides: Sequence[str]) -> str:
    """A run's name: its overrides, without those that do not change its result."""
    kept = []
    for text in overrides:
        key = text.lstrip("+").split("=")[0]
        if key not in NOT_IDENTITY and not key.startswith("hydra"):
            kept.append(text.lstrip("+"))
    return ",".join(kept) or "default"


def folder_name(overrides: Sequence[str], identity: str) -> str:
    """The run's folder: readable, safe on every file system, and told apart by the identity."""
    safe = re.sub(r"[^A-Za-z0-9=,._+-]+", "_", readable(overrides))[:120].strip("._") or "run"
    return f"{safe}-{identity}"
