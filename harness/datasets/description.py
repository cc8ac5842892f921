"""Check and describe the files of a data component without loading them, for early errors and `harness show-data`.

The trait `describe` of a component names a module with `check(settings)` and `describe(settings)` that needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from harness.registry import catalogue
from harness.registry.kinds import KEY
from harness.system.errors import HarnessError


def _module(values: dict[str, Any]) -> Any:
    name = catalogue.current().get("data", values["data"][KEY])["traits"].get("describe")
    return None if name is None else import_module(name)


def check_data(values: dict[str, Any]) -> None:
    """Check the files of the data, if the component can do so without loading them.

    Args:
        values: A checked config.

    Raises:
        HarnessError: If the files have a mistake.
    """
    if (module := _module(values)) is not None:
        with _prefix_errors(values):
            module.check(values["data"])


def describe_data(values: dict[str, Any]) -> dict[str, Any] | None:
    """Return a description of the data of a checked config, or None if the component offers none."""
    if (module := _module(values)) is None:
        return None
    with _prefix_errors(values):
        described: dict[str, Any] = module.describe(values["data"])
        return described


class _prefix_errors:
    """Context manager that prefixes an error with the name of the data component."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._name = values["data"][KEY]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, HarnessError):
            raise HarnessError(f"data {self._name}: {error}") from error
