"""Findings of plugins about runs, such as those of the doctor."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

from harness.registry import catalogue
from harness.registry.registry import REGISTRY
from harness.results.record import Record
from harness.system.errors import one_line
from harness.system.escape import printable


def findings(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (plugin, line) of every plugin that implements `harness_findings`; one that fails causes a warning.

    Args:
        records: The runs to find something about; for none, no plugin is asked.
    """
    for plugin, distribution in catalogue.current().finders if records else []:
        offer = REGISTRY.offer(plugin, distribution)
        if offer is None or offer.findings is None:
            continue
        try:
            for lines in offer.findings(records=list(records)):
                if isinstance(lines, str):
                    raise TypeError(f"expected a list, got the string {lines!r}")
                for line in lines:
                    yield plugin, printable(str(line))
        except Exception as error:  # only warn, since the runs are trained and recorded
            where = f"harness_findings of plugin {plugin} ({distribution})"
            warnings.warn(f"{where} failed: {one_line(error)}", stacklevel=2)


def print_findings(records: Sequence[Record]) -> None:
    """Print the findings about the runs that were trained, and were not cached."""
    for plugin, line in findings([record for record in records if not record.cached]):
        print(f"  {plugin:<8}  {line}")
