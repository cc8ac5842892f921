"""The mark that names the check which must find a planted fault."""

from __future__ import annotations

from typing import Any

from harness.registry.component import mark_of

EXPECTED: dict[str, str] = {}  # {kind/name: the check that must find it}


def fault(check: str) -> Any:
    """Mark a component with the check that must find its fault."""

    def mark(component: Any) -> Any:
        known = mark_of(component)
        assert known is not None
        EXPECTED[f"{known.kind}/{known.name}"] = check
        return component

    return mark
