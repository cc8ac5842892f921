"""`harness doctor`: diagnose runs that do not learn, and suggest overrides to try."""

from __future__ import annotations

import harness
from harness_doctor.command import COMMAND


@harness.hookimpl
def harness_commands() -> list[harness.Command]:
    return [COMMAND]


@harness.hookimpl
def harness_findings(records: list[harness.Record]) -> list[str]:
    from harness_doctor.summary import at_end

    return at_end(records)
