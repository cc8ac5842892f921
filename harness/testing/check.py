"""A check: a name, a line that says what it means, the kinds that it is for, and a function that finds the fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.registry.kinds import KINDS
from harness.testing.component_case import Case


@dataclass(frozen=True)
class Check:
    """Raises Fault for what is wrong, and Inapplicable where there is nothing to look at."""

    name: str
    meaning: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]  # checks without which this one says nothing
    function: Callable[[Case], None] = field(repr=False)


CHECKS: dict[str, Check] = {}  # in the order in which they are made


def check(
    *kinds: str, needs: Iterable[str] = ("builds",), name: str | None = None
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Marks a function as a check of these kinds, or of all; its docstring's first line is its meaning."""

    def mark(function: Callable[[Case], None]) -> Callable[[Case], None]:
        own = name or function.__name__
        meaning = (function.__doc__ or "").splitlines()[0]
        CHECKS[own] = Check(own, meaning, kinds or tuple(KINDS), tuple(needs), function)
        return function

    return mark


def checks_of(kind: str) -> list[Check]:
    """The checks of a kind, those that others need first."""
    return [one for one in CHECKS.values() if kind in one.kinds]
