"""What a data component tells of its files before it is loaded: mistakes that a look shows, and `harness show-data`.

Its trait `describe` names a module with `check(settings)` and `describe(settings)`, which need no torch.
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
    """Raise HarnessError for what a look at the data's files shows, if the component knows how to look.

    Args:
        values: a checked config.
    """
    if (module := _module(values)) is not None:
        with _named(values):
            module.check(values["data"])


def describe_data(values: dict[str, Any]) -> dict[str, Any] | None:
    """The data of a checked config in words, as plain data; None where the component tells nothing of itself."""
    if (module := _module(values)) is None:
        return None
    with _named(values):
        described: dict[str, Any] = module.describe(values["data"])
        return described


class _named:
    """Names the component in an error."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._name = values["data"][KEY]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, HarnessError):
            raise HarnessError(f"data {self._name}: {error}") from error
