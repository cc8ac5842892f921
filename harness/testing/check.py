"""Register conformance checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.registry.kinds import KINDS
from harness.testing.component_case import Case


@dataclass(frozen=True)
class Check:
    """A conformance check. Its function raises Fault for a mistake, and Inapplicable if it does not apply."""

    name: str
    meaning: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]  # checks that must pass first
    function: Callable[[Case], None] = field(repr=False)


CHECKS: dict[str, Check] = {}  # in the order of execution


def check(
    *kinds: str, needs: Iterable[str] = ("builds",), name: str | None = None
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Register a function as a check. The first line of its docstring is shown to users as the meaning of the check.

    Args:
        kinds: Kinds of components that the check is for; none for all.
        needs: Names of checks that must pass first.
        name: Name of the check; by default that of the function.
    """

    def mark(function: Callable[[Case], None]) -> Callable[[Case], None]:
        check_name = name or function.__name__
        meaning = (function.__doc__ or "").splitlines()[0]
        CHECKS[check_name] = Check(check_name, meaning, kinds or tuple(KINDS), tuple(needs), function)
        return function

    return mark


def checks_of(kind: str) -> list[Check]:
    """Return the checks of a kind, each after those that it needs."""
    return [c for c in CHECKS.values() if kind in c.kinds]
