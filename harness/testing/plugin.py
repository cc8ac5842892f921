"""Run the conformance checks of a plugin as pytest tests."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.system.errors import HarnessError, suggest


def conformance(
    *names: str,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
) -> Callable[..., None]:
    """Make a pytest test of every check of every component.

    Assign the result to a name that starts with `test_`:

        test_conformance = conformance("my-plugin")

    Args:
        *names: Distributions of plugins, or components `KIND/NAME`.
        settings: Settings without a default, `{"data/rows": {"path": "rows.npy"}}`.
        only: The checks to run; default: all.
        without: The checks to leave out.

    Returns:
        A parametrized test function.

    Raises:
        HarnessError: If no such plugin is installed, or a check is unknown.
    """
    import pytest

    from harness.testing.selection import select
    from harness.testing.suite import CHECKS, Subject, problems, refuse_unknown, settings_for

    if not names:
        raise HarnessError("conformance needs the name of a plugin's distribution, or KIND/NAME")
    for word in (*(only or ()), *without):
        if word not in CHECKS:
            raise HarnessError(f"there is no check {word!r}.{suggest(word, CHECKS)}")
    wanted = [name for name in (CHECKS if only is None else only) if name not in set(without)]
    entries = {f"{entry['kind']}/{entry['name']}": entry for entry in select(names)}
    refuse_unknown(entries.values(), settings or {})

    @functools.lru_cache(2)  # the tests of a component run one after the other
    def subject(label: str) -> Subject:
        return Subject(entries[label], settings_for(entries[label], settings or {}))

    plugins = [(result.component, "loads", result) for result in problems(names)]
    checks = [
        (label, name, None)
        for label, entry in entries.items()
        for name in wanted
        if entry["kind"] in CHECKS[name].kinds
    ]

    @pytest.mark.parametrize(
        ("component", "check", "known"),
        [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in [*plugins, *checks]],
    )
    def test_conformance(component: str, check: str, known: Any) -> None:
        result = known or subject(component).result(check)
        if result.status == "skipped":
            pytest.skip(result.finding)
        if result.status == "failed":
            pytest.fail(f"{component}, {check}: {result.finding}", pytrace=False)

    return test_conformance
