"""Print the findings of plugins below the summary of a run or a sweep."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from harness.registry import catalogue
from harness.registry.registry import REGISTRY
from harness.results.record import Record
from harness.system.errors import one_line
from harness.system.escape import printable


def print_findings(records: Iterable[Record]) -> None:
    """Print the lines of every plugin that implements `harness_findings`; a plugin that fails causes a warning."""
    trained = [record for record in records if not record.cached]
    for plugin, distribution in catalogue.current().finders if trained else []:
        offer = REGISTRY.offer(plugin, distribution)
        if offer is None or offer.findings is None:
            continue
        try:
            for lines in offer.findings(records=trained):
                if isinstance(lines, str):
                    raise TypeError(f"expected a list, got the string {lines!r}")
                for line in lines:
                    print(f"  {plugin:<8}  {printable(str(line))}")
        except Exception as error:  # only warn, since the runs are trained and recorded
            where = f"harness_findings of plugin {plugin} ({distribution})"
            warnings.warn(f"{where} failed: {one_line(error)}", stacklevel=2)
