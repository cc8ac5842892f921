"""`harness claims`: experiments that could refute what textbooks state, and their verdicts."""

from __future__ import annotations

import harness
from harness_claims.command import COMMAND


@harness.hookimpl
def harness_commands() -> list[harness.Command]:
    return [COMMAND]
